#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/quantize_rows/quantize_rows.h"

namespace laconic::kernels {

void QuantizeRowsScalar(const QuantizeRowsArgs& args) noexcept {
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    std::uint8_t* q = args.q + row * args.q_stride;
    float lo = 0;
    float hi = 0;
    bool finite = true;
    const auto value = [&](std::int64_t c) { return args.multiplier == nullptr ? x[c] : x[c] * args.multiplier[c]; };
    for (std::int64_t c = 0; c < args.cols; ++c) {
      finite = finite && std::isfinite(value(c));
      lo = std::min(lo, value(c));
      hi = std::max(hi, value(c));
    }
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
