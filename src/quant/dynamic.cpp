#include "quant/dynamic.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace laconic::quant {

RowParams QuantizeRowU8(std::span<const float> x, std::span<std::uint8_t> q, std::span<const float> multiplier) {
  const auto at = [&](std::size_t i) { return multiplier.empty() ? x[i] : x[i] * multiplier[i]; };
  float lo = 0;
  float hi = 0;
  bool finite = true;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float value = at(i);
    finite = finite && std::isfinite(value);
    lo = std::min(lo, value);
    hi = std::max(hi, value);
  }
  const float range = hi - lo;
  if (!finite || !std::isfinite(range)) {
    std::fill(q.begin(), q.end(), std::uint8_t{0});
    return {std::numeric_limits<float>::quiet_NaN(), 0};
  }
  const float scale = std::max(range / 255.0F, kMinDynamicScale);
  const float zero_point = std::nearbyint((0.0F - lo) / scale);
  const float inv_scale = 1.0F / scale;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float code = std::nearbyint(at(i) * inv_scale) + zero_point;
    q[i] = static_cast<std::uint8_t>(std::clamp(code, 0.0F, 255.0F));
  }
  return {scale, static_cast<std::int32_t>(zero_point)};
}

void DequantizeRowU8(std::span<const std::uint8_t> q, RowParams params, std::span<float> x) {
  for (std::size_t i = 0; i < q.size(); ++i) {
    x[i] = params.scale * static_cast<float>(q[i] - params.zero_point);
  }
}

}  // namespace laconic::quant
