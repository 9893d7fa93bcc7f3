#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/quantize_static/quantize_static.h"

namespace laconic::kernels {

std::uint8_t StaticCodeScalar(float value, float scale, std::int32_t zero_point) noexcept {
  const float code = std::nearbyint(value / scale) + static_cast<float>(zero_point);
  return std::isnan(code) ? 0 : static_cast<std::uint8_t>(std::clamp(code, 0.0F, 255.0F));
}

void QuantizeStaticScalar(const QuantizeStaticArgs& args) noexcept {
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    std::uint8_t* q = args.q + row * args.q_stride;
    bool has_nan = false;
    for (std::int64_t c = 0; c < args.cols; ++c) {
      const float value = args.multiplier == nullptr ? x[c] : x[c] * args.multiplier[c];
      has_nan = has_nan || std::isnan(value);
      q[c] = StaticCodeScalar(value, args.scale, args.zero_point);
    }
    if (has_nan) {
      std::fill_n(q, args.cols, std::uint8_t{0});
    }
    args.row_scale[row] = has_nan ? std::numeric_limits<float>::quiet_NaN() : args.scale;
    args.row_zero[row] = has_nan ? 0 : args.zero_point;
  }
}

}  // namespace laconic::kernels
