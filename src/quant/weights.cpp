#include "quant/weights.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "laconic/error.h"

namespace laconic::quant {

float QuantizeRowS8(std::span<const float> w, std::span<std::int8_t> q) {
  float absmax = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    if (!std::isfinite(w[i])) {
      Fail(ErrorCode::kInvalidArgument, "expected finite weights, got ", w[i], " at index ", i);
    }
    absmax = std::max(absmax, std::abs(w[i]));
  }
  const float scale = absmax / 127.0F;
  if (scale < std::numeric_limits<float>::min()) {
    std::fill(q.begin(), q.end(), std::int8_t{0});
    return 1.0F;
  }
  for (std::size_t i = 0; i < w.size(); ++i) {
    q[i] = static_cast<std::int8_t>(std::clamp(std::nearbyint(w[i] / scale), -127.0F, 127.0F));
  }
  return scale;
}

void DequantizeRowS8(std::span<const std::int8_t> q, float scale, std::span<float> x) {
  for (std::size_t i = 0; i < q.size(); ++i) {
    x[i] = static_cast<float>(q[i]) * scale;
  }
}

float LinearU8S8(std::span<const std::uint8_t> a, RowParams a_params, std::span<const std::int8_t> w, float w_scale,
                 float bias) {
  if (a.size() > kMaxLinearTerms) {
    Fail(ErrorCode::kInvalidArgument, "a linear layer of ", a.size(), " inputs could overflow s32, expected at most ",
         kMaxLinearTerms);
  }
  std::int32_t sum = 0;
  std::int32_t weight_sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += a[i] * w[i];
    weight_sum += w[i];
  }
  const auto bracket = static_cast<float>(sum - a_params.zero_point * weight_sum);
  const float scaled = bracket * a_params.scale * w_scale;
  return scaled + bias;
}

}  // namespace laconic::quant
