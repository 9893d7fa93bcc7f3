#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/quantize_rows/quantize_rows.h"

namespace laconic::kernels {

RowRange FindRangeScalar(const float* x, const float* multiplier, std::int64_t cols) noexcept {
  RowRange range;
  for (std::int64_t c = 0; c < cols; ++c) {
    const float value = multiplier == nullptr ? x[c] : x[c] * multiplier[c];
    range.finite = range.finite && std::isfinite(value);
    range.lo = std::min(range.lo, value);
    range.hi = std::max(range.hi, value);
  }
  return range;
}

void QuantizeRowsScalar(const QuantizeRowsArgs& args) noexcept {
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    std::uint8_t* q = args.q + row * args.q_stride;
    const auto value = [&](std::int64_t c) { return args.multiplier == nullptr ? x[c] : x[c] * args.multiplier[c]; };
    const auto [lo, hi, finite] = FindRangeScalar(x, args.multiplier, args.cols);
    const float range = hi - lo;
    if (!finite || !std::isfinite(range)) {
      args.scale[row] = std::numeric_limits<float>::quiet_NaN();
      args.zero_point[row] = 0;
      std::fill_n(q, args.cols, std::uint8_t{0});
      continue;
    }
    const float scale = std::max(range / 255.0F, kMinRowScale);
    const float inv_scale = 1.0F / scale;
    const float zero_point = std::nearbyint((0.0F - lo) / scale);
    for (std::int64_t c = 0; c < args.cols; ++c) {
      q[c] = static_cast<std::uint8_t>(std::clamp(std::nearbyint(value(c) * inv_scale) + zero_point, 0.0F, 255.0F));
    }
    args.scale[row] = scale;
    args.zero_point[row] = static_cast<std::int32_t>(zero_point);
  }
}

}  // namespace laconic::kernels
