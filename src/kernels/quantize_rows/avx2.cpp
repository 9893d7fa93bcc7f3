#include "kernels/quantize_rows/simd.h"

namespace laconic::kernels {

void QuantizeRowsAvx2(const QuantizeRowsArgs& args) noexcept { QuantizeRows(args); }

}  // namespace laconic::kernels
