#include "kernels/elementwise/elementwise.h"
#include "kernels/levels.h"

namespace laconic::kernels {

const ElementwiseKernels& GetElementwise(Isa isa) noexcept {
  static constexpr ElementwiseKernels kLevels[] = {
    {Isa::kScalar, &ActivateScalar, &AddScalar},
#if LACONIC_HAVE_AVX2
    {Isa::kAvx2, &ActivateAvx2, &AddAvx2},
#endif
#if LACONIC_HAVE_AVX512_VNNI
    {Isa::kAvx512Vnni, &ActivateAvx512Vnni, &AddAvx512Vnni},
#endif
  };
  return PickLevel(kLevels, isa);
}

}  // namespace laconic::kernels
