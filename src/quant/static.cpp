#include "quant/static.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace laconic::quant {

std::int32_t LeastCode(DType dtype) noexcept { return dtype == DType::kS8 ? -128 : 0; }
std::int32_t LargestCode(DType dtype) noexcept { return dtype == DType::kS8 ? 127 : 255; }

QuantParams StaticParams(Range range, const TensorQConfig& config) {
  const RowParams params = ParamsOf(range, config);
  QuantParams out = {params.scale, params.zero_point, config.dtype == CodeType::kU8 ? DType::kU8 : DType::kS8, {}};
  if (config.range == CodeRange::kReduced) {
    out.limits = CodesOf(config);
  }
  return out;
}

QuantParams DynamicParams(float lo, float hi) noexcept {
  lo = std::min(lo, 0.0F);
  hi = std::max(hi, 0.0F);
  float scale = (hi - lo) / 255.0F;
  if (scale < std::numeric_limits<float>::min()) {
    scale = 1.0F;
  }
  const float zero_point = std::clamp(std::nearbyint(0 - lo / scale), 0.0F, 255.0F);
  return {scale, static_cast<std::int32_t>(zero_point), DType::kU8, {}};
}

Codes CodesWithin(float lo, float hi, const QuantParams& params) noexcept {
  const auto code_of = [&](float bound) {
    const float code = std::nearbyint(bound / params.scale) + static_cast<float>(params.zero_point);
    return static_cast<std::int32_t>(
        std::clamp(code, static_cast<float>(LeastCode(params.dtype)), static_cast<float>(LargestCode(params.dtype))));
  };
  return {code_of(lo), code_of(hi)};
}

RowParams QuantizeRowStatic(std::span<const float> x, std::span<const float> multiplier, const QuantParams& params,
                            std::span<std::uint8_t> q) {
  const auto zero_point = static_cast<float>(ZeroPointAsU8(params));
  const Codes codes = params.limits.value_or(Codes{LeastCode(params.dtype), LargestCode(params.dtype)});
  const auto least = static_cast<float>(codes.min - LeastCode(params.dtype));
  const auto largest = static_cast<float>(codes.max - LeastCode(params.dtype));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float value = multiplier.empty() ? x[i] : x[i] * multiplier[i];
    if (std::isnan(value)) {
      std::fill(q.begin(), q.end(), std::uint8_t{0});
      return {std::numeric_limits<float>::quiet_NaN(), 0};
    }
    q[i] = static_cast<std::uint8_t>(std::clamp(std::nearbyint(value / params.scale) + zero_point, least, largest));
  }
  return {params.scale, ZeroPointAsU8(params)};
}

}  // namespace laconic::quant
