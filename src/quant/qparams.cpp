#include "quant/qparams.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "laconic/error.h"

namespace laconic::quant {
namespace {

float AbsMax(Range range) { return std::max(-range.min, range.max); }

RowParams OnnxRuntimeParams(Range range, bool symmetric, Codes codes) {
  if (symmetric) {
    range = {-AbsMax(range), AbsMax(range)};
  }
  const double scale = (static_cast<double>(range.max) - range.min) / (codes.max - codes.min);
  if (scale < std::numeric_limits<float>::min()) {
    return {1.0F, 0};
  }
  const double zero_point = symmetric ? (codes.min + codes.max) / 2.0 : codes.min - range.min / scale;
  return {static_cast<float>(scale), static_cast<std::int32_t>(std::nearbyint(zero_point))};
}

RowParams PyTorchParams(Range range, const TensorQConfig& config, Codes codes) {
  constexpr float kEps = std::numeric_limits<float>::epsilon();
  const auto levels = static_cast<float>(codes.max - codes.min);
  if (config.scheme == Scheme::kSymmetric) {
    return {std::max(AbsMax(range) / (levels / 2), kEps), config.dtype == CodeType::kU8 ? 128 : 0};
  }
  const float scale = std::max((range.max - range.min) / levels, kEps);
  const auto offset = static_cast<std::int32_t>(std::nearbyint(range.min / scale));
  return {scale, std::clamp(codes.min - offset, codes.min, codes.max)};
}

}  // namespace

Codes CodesOf(const TensorQConfig& config) noexcept {
  const bool pytorch = config.convention == Convention::kPyTorch;
  const bool reduced = config.range == CodeRange::kReduced;
  if (config.dtype == CodeType::kU8) {
    return {0, reduced ? 127 : 255};
  }
  if (reduced) {
    return {-64, pytorch ? 63 : 64};
  }
  return {!pytorch && config.scheme == Scheme::kSymmetric ? -127 : -128, 127};
}

RowParams ParamsOf(Range range, const TensorQConfig& config) {
  if (!std::isfinite(range.min) || !std::isfinite(range.max)) {
    Fail(ErrorCode::kInvalidArgument, "expected a finite range, got ", range.min, " to ", range.max);
  }
  range = {std::min(0.0F, range.min), std::max(0.0F, range.max)};
  const Codes codes = CodesOf(config);
  if (config.convention == Convention::kOnnxRuntime) {
    return OnnxRuntimeParams(range, config.scheme == Scheme::kSymmetric, codes);
  }
  if (!std::isfinite(range.max - range.min)) {
    Fail(ErrorCode::kInvalidArgument, "expected a range below the largest f32, got ", range.min, " to ", range.max);
  }
  return PyTorchParams(range, config, codes);
}

std::int32_t WeightZeroPoint(const TensorQConfig& config) noexcept {
  return config.dtype == CodeType::kS8 ? 0 : config.range == CodeRange::kReduced ? 64 : 128;
}

Codes WeightCodes(const TensorQConfig& config) noexcept {
  const Codes codes = CodesOf(config);
  const std::int32_t zero_point = WeightZeroPoint(config);
  return {codes.min - zero_point, codes.max - zero_point};
}

}  // namespace laconic::quant
