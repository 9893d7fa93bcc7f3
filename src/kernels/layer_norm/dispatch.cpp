#include "kernels/layer_norm/layer_norm.h"
#include "kernels/levels.h"

namespace laconic::kernels {

const LayerNormKernels& GetLayerNorm(Isa isa) noexcept {
  static constexpr LayerNormKernels kLevels[] = {
    {Isa::kScalar, &LayerNormScalar},
#if LACONIC_HAVE_AVX2
    {Isa::kAvx2, &LayerNormAvx2},
#endif
#if LACONIC_HAVE_AVX512_VNNI
    {Isa::kAvx512Vnni, &LayerNormAvx512Vnni},
#endif
  };
  return PickLevel(kLevels, isa);
}

}  // namespace laconic::kernels
