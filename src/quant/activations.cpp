#include "quant/activations.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "laconic/error.h"

namespace laconic::quant {
namespace {

void FakeQuantizeFixed(RowParams params, std::span<float> x) {
  const auto zero_point = static_cast<float>(params.zero_point);
  for (float& value : x) {
    const float code = std::clamp(std::nearbyint(value / params.scale) + zero_point, 0.0F, 255.0F);
    value = params.scale * (code - zero_point);
  }
}

}  // namespace

RowParams MinMaxParams(float lo, float hi) {
  const float low = std::min(0.0F, lo);
  const float range = std::max(0.0F, hi) - low;
  if (!std::isfinite(lo) || !std::isfinite(hi) || !std::isfinite(range)) {
    Fail(ErrorCode::kInvalidArgument, "expected a finite range, got ", lo, " to ", hi);
  }
  const float scale = std::max(range / 255.0F, kMinDynamicScale);
  return {scale, static_cast<std::int32_t>(std::nearbyint((0.0F - low) / scale))};
}

void FakeQuantizeRows(const MatrixView& x, const ActivationQuantizer& quantizer, float* out) {
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(x.cols));
  for (std::int64_t i = 0; i < x.rows; ++i) {
    const std::span<float> row(out + i * x.cols, static_cast<std::size_t>(x.cols));
    std::ranges::copy(x.row(i), row.begin());
    for (std::size_t j = 0; j < quantizer.inv_smooth.size(); ++j) {
      row[j] *= quantizer.inv_smooth[j];
    }
    if (quantizer.fixed) {
      FakeQuantizeFixed(*quantizer.fixed, row);
    } else {
      const RowParams params = QuantizeRowU8(row, codes);
      DequantizeRowU8(codes, params, row);
    }
  }
}

}  // namespace laconic::quant
