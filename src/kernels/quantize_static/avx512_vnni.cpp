#include "kernels/quantize_static/simd.h"

namespace laconic::kernels {

void QuantizeStaticAvx512Vnni(const QuantizeStaticArgs& args) noexcept { QuantizeStatic(args); }

}  // namespace laconic::kernels
