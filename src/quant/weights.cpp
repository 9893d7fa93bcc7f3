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

namespace {

float Bracket(std::span<const std::uint8_t> a, std::int32_t zero_point, std::span<const std::int8_t> w) {
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
  return static_cast<float>(sum - zero_point * weight_sum);
}

}  // namespace

float LinearU8S8(std::span<const std::uint8_t> a, RowParams a_params, std::span<const std::int8_t> w, float w_scale,
                 float bias) {
  const float scaled = Bracket(a, a_params.zero_point, w) * a_params.scale * w_scale;
  return scaled + bias;
}

float StaticLinearU8S8(std::span<const std::uint8_t> a, RowParams a_params, std::span<const std::int8_t> w,
                       float w_scale, float bias) {
  const float scaled = Bracket(a, a_params.zero_point, w) * (a_params.scale * w_scale);
  return scaled + bias;
}

}  // namespace laconic::quant
