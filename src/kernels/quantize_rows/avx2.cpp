#include "kernels/quantize_rows/simd.h"

namespace laconic::kernels {

void QuantizeRowsAvx2(const QuantizeRowsArgs& args) noexcept { QuantizeRows(args); }

RowRange FindRangeAvx2(const float* x, const float* multiplier, std::int64_t cols) noexcept {
  return FindRange(x, multiplier, cols);
}

}  // namespace laconic::kernels
