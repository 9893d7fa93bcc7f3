#include "kernels/quantize_rows/simd.h"

namespace laconic::kernels {

void QuantizeRowsAvx512Vnni(const QuantizeRowsArgs& args) noexcept { QuantizeRows(args); }

}  // namespace laconic::kernels
