#include "kernels/quantize_rows/simd.h"

namespace laconic::kernels {

void QuantizeRowsAvx512Vnni(const QuantizeRowsArgs& args) noexcept { QuantizeRows(args); }

RowRange FindRangeAvx512Vnni(const float* x, const float* multiplier, std::int64_t cols) noexcept {
  return FindRange(x, multiplier, cols);
}

}  // namespace laconic::kernels
