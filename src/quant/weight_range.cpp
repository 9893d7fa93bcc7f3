#include "quant/weight_range.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "laconic/error.h"

namespace laconic::quant {
namespace {

constexpr int kClipSteps = 40;  // 1, 0.99, ..., 0.61

float RoundToCode(float w, float scale, Codes codes) {
  return std::clamp(std::nearbyint(w / scale), static_cast<float>(codes.min), static_cast<float>(codes.max));
}

double SquaredError(std::span<const float> w, float scale, Codes codes) {
  double sum = 0;
  for (const float value : w) {
    const double error = static_cast<double>(RoundToCode(value, scale, codes)) * scale - value;
    sum += error * error;
  }
  return sum;
}

float ScaleOf(std::span<const float> w, const TensorQConfig& config) {
  const float widest = AbsMaxScale(w, config);
  return config.observer.kind == ObserverKind::kMse ? MseScale(w, widest, WeightCodes(config)) : widest;
}

}  // namespace

float AbsMaxScale(std::span<const float> w, const TensorQConfig& config) {
  float absmax = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    if (!std::isfinite(w[i])) {
      Fail(ErrorCode::kInvalidArgument, "expected finite weights, got ", w[i], " at index ", i);
    }
    absmax = std::max(absmax, std::abs(w[i]));
  }
  return ParamsOf({-absmax, absmax}, config).scale;
}

float MseScale(std::span<const float> w, float widest, Codes codes) {
  float best = widest;
  double least = SquaredError(w, widest, codes);
  for (int step = 1; step < kClipSteps; ++step) {
    const float scale = widest * (1.0F - 0.01F * static_cast<float>(step));
    const double error = SquaredError(w, scale, codes);
    if (error < least) {
      least = error;
      best = scale;
    }
  }
  return best;
}

std::vector<float> WeightScales(const MatrixView& weight, const TensorQConfig& config) {
  if (config.granularity == Granularity::kTensor) {
    const std::span<const float> all(weight.data, static_cast<std::size_t>(weight.size()));
    return std::vector<float>(static_cast<std::size_t>(weight.rows), ScaleOf(all, config));
  }
  std::vector<float> scales;
  for (std::int64_t i = 0; i < weight.rows; ++i) {
    scales.push_back(
        WithFrame([&] { return "row " + std::to_string(i); }, [&] { return ScaleOf(weight.row(i), config); }));
  }
  return scales;
}

void RoundRow(std::span<const float> w, float scale, Codes codes, std::span<std::int8_t> q) {
  std::ranges::transform(w, q.begin(),
                         [&](float value) { return static_cast<std::int8_t>(RoundToCode(value, scale, codes)); });
}

std::vector<float> QuantizeBlocksS8(std::span<const float> w, std::int64_t block, std::span<std::int8_t> q) {
  std::vector<float> scales;
  const auto step = static_cast<std::size_t>(block);
  for (std::size_t begin = 0; begin < w.size(); begin += step) {
    const std::span<const float> values = w.subspan(begin, std::min(step, w.size() - begin));
    scales.push_back(WithFrame([&] { return "the block from index " + std::to_string(begin); },
                               [&] { return AbsMaxScale(values); }));
    RoundRow(values, scales.back(), WeightCodes(kSymmetricS8), q.subspan(begin, values.size()));
  }
  return scales;
}

}  // namespace laconic::quant
