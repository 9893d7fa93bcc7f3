#include "kernels/levels.h"
#include "kernels/quantize_static/quantize_static.h"

namespace laconic::kernels {

const QuantizeStaticKernels& GetQuantizeStatic(Isa isa) noexcept {
  static constexpr QuantizeStaticKernels kLevels[] = {
    {Isa::kScalar, &QuantizeStaticScalar},
#if LACONIC_HAVE_AVX2
    {Isa::kAvx2, &QuantizeStaticAvx2},
#endif
#if LACONIC_HAVE_AVX512_VNNI
    {Isa::kAvx512Vnni, &QuantizeStaticAvx512Vnni},
#endif
  };
  return PickLevel(kLevels, isa);
}

}  // namespace laconic::kernels
