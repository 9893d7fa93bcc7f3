#include "kernels/layer_norm/simd.h"

namespace laconic::kernels {

void LayerNormAvx512Vnni(const LayerNormArgs& args) noexcept { LayerNorm(args); }

}  // namespace laconic::kernels
