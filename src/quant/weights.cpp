#include "quant/weights.h"

#include "laconic/error.h"
#include "quant/weight_range.h"

namespace laconic::quant {

float QuantizeRowS8(std::span<const float> w, std::span<std::int8_t> q) {
  const float scale = AbsMaxScale(w);
  RoundRow(w, scale, WeightCodes(kSymmetricS8), q);
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
