#include "quant/activations.h"

#include <cstdint>

namespace laconic::quant {
void FakeQuantizeRows(const MatrixView& x, const ActivationQuantizer& quantizer, float* out) {
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(x.cols));
  for (std::int64_t i = 0; i < x.rows; ++i) {
    const RowParams params = quantizer.fixed
                                 ? QuantizeRowStatic(x.row(i), quantizer.inv_smooth, *quantizer.fixed, codes)
                                 : QuantizeRowU8(x.row(i), codes, quantizer.inv_smooth);
    DequantizeRowU8(codes, params, {out + i * x.cols, codes.size()});
  }
}

}  // namespace laconic::quant
