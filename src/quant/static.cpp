#include "quant/static.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace laconic::quant {

std::int32_t LeastCode(DType dtype) noexcept { return dtype == DType::kS8 ? -128 : 0; }
std::int32_t LargestCode(DType dtype) noexcept { return dtype == DType::kS8 ? 127 : 255; }

QuantParams AffineParams(float lo, float hi, DType dtype) noexcept {
  lo = std::min(lo, 0.0F);
  hi = std::max(hi, 0.0F);
  const auto least = static_cast<float>(LeastCode(dtype));
  float scale = (hi - lo) / 255.0F;
  if (scale < std::numeric_limits<float>::min()) {
    scale = 1.0F;
  }
  const float zero_point = std::clamp(std::nearbyint(least - lo / scale), least, least + 255.0F);
  return {scale, static_cast<std::int32_t>(zero_point), dtype};
}

RowParams QuantizeRowStatic(std::span<const float> x, std::span<const float> multiplier, const QuantParams& params,
                            std::span<std::uint8_t> q) {
  const auto zero_point = static_cast<float>(ZeroPointAsU8(params));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float value = multiplier.empty() ? x[i] : x[i] * multiplier[i];
    if (std::isnan(value)) {
      std::fill(q.begin(), q.end(), std::uint8_t{0});
      return {std::numeric_limits<float>::quiet_NaN(), 0};
    }
    q[i] = static_cast<std::uint8_t>(std::clamp(std::nearbyint(value / params.scale) + zero_point, 0.0F, 255.0F));
  }
  return {params.scale, ZeroPointAsU8(params)};
}

}  // namespace laconic::quant
