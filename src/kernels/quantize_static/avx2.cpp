#include "kernels/quantize_static/simd.h"

namespace laconic::kernels {

void QuantizeStaticAvx2(const QuantizeStaticArgs& args) noexcept { QuantizeStatic(args); }

}  // namespace laconic::kernels
