#include "quant/activations.h"

#include <cmath>
#include <cstdint>

namespace laconic::quant {
namespace {

constexpr float kTieWidth = 0x1p-14F;  // four steps of the largest codes' f32

}  // namespace

RowParams QuantizeRow(const ActivationQuantizer& quantizer, std::span<const float> x, std::span<std::uint8_t> q) {
  return quantizer.fixed ? QuantizeRowStatic(x, quantizer.inv_smooth, *quantizer.fixed, q)
                         : QuantizeRowU8(x, q, quantizer.inv_smooth);
}

std::int64_t CountTies(const ActivationQuantizer& quantizer, RowParams params, std::span<const float> x) {
  const float inv_scale = 1.0F / params.scale;
  std::int64_t ties = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float value = quantizer.inv_smooth.empty() ? x[i] : x[i] * quantizer.inv_smooth[i];
    const float exact = quantizer.fixed ? value / params.scale : value * inv_scale;
    ties += std::abs(exact - std::floor(exact) - 0.5F) < kTieWidth ? 1 : 0;
  }
  return ties;
}

void FakeQuantizeRows(const MatrixView& x, const ActivationQuantizer& quantizer, float* out) {
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(x.cols));
  for (std::int64_t i = 0; i < x.rows; ++i) {
    const RowParams params = QuantizeRow(quantizer, x.row(i), codes);
    DequantizeRowU8(codes, params, {out + i * x.cols, codes.size()});
  }
}

}  // namespace laconic::quant
