#include "kernels/quantize_static/simd.h"

namespace laconic::kernels {

void QuantizeStaticAvx2(const QuantizeStaticArgs& args) noexcept {
  QuantizeStatic(args, MakeStaticQuantizer(args.scale, args.zero_point, args.multiplier, args.cols));
}

}  // namespace laconic::kernels
