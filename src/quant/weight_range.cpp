#include "quant/weight_range.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "laconic/error.h"

namespace laconic::quant {
namespace {

constexpr int kClipSteps = 40;  // 1, 0.99, ..., 0.61

float RoundToCode(float w, float scale, int max_code) {
  const auto limit = static_cast<float>(max_code);
  return std::clamp(std::nearbyint(w / scale), -limit, limit);
}

double SquaredError(std::span<const float> w, float scale, int max_code) {
  double sum = 0;
  for (const float value : w) {
    const double error = static_cast<double>(RoundToCode(value, scale, max_code)) * scale - value;
    sum += error * error;
  }
  return sum;
}

}  // namespace

float AbsMaxScale(std::span<const float> w, int max_code) {
  float absmax = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    if (!std::isfinite(w[i])) {
      Fail(ErrorCode::kInvalidArgument, "expected finite weights, got ", w[i], " at index ", i);
    }
    absmax = std::max(absmax, std::abs(w[i]));
  }
  const float scale = absmax / static_cast<float>(max_code);
  return scale < std::numeric_limits<float>::min() ? 1.0F : scale;
}

float MseScale(std::span<const float> w, int max_code) {
  const float widest = AbsMaxScale(w, max_code);
  float best = widest;
  double least = SquaredError(w, widest, max_code);
  for (int step = 1; step < kClipSteps; ++step) {
    const float scale = widest * (1.0F - 0.01F * static_cast<float>(step));
    const double error = SquaredError(w, scale, max_code);
    if (error < least) {
      least = error;
      best = scale;
    }
  }
  return best;
}

void RoundRow(std::span<const float> w, float scale, int max_code, std::span<std::int8_t> q) {
  std::ranges::transform(w, q.begin(),
                         [&](float value) { return static_cast<std::int8_t>(RoundToCode(value, scale, max_code)); });
}

std::vector<float> QuantizeBlocksS8(std::span<const float> w, std::int64_t block, std::span<std::int8_t> q) {
  std::vector<float> scales;
  const auto step = static_cast<std::size_t>(block);
  for (std::size_t begin = 0; begin < w.size(); begin += step) {
    const std::span<const float> values = w.subspan(begin, std::min(step, w.size() - begin));
    scales.push_back(WithFrame([&] { return "the block from index " + std::to_string(begin); },
                               [&] { return AbsMaxScale(values); }));
    RoundRow(values, scales.back(), kFullRange, q.subspan(begin, values.size()));
  }
  return scales;
}

}  // namespace laconic::quant
