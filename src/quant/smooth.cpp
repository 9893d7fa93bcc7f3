#include "quant/smooth.h"

#include <algorithm>
#include <cmath>
#include <exception>

#include "quant/eigen.h"

namespace laconic::quant {
namespace {

constexpr double kLeastMaximum = 1e-5;

std::vector<double> WeightMaxima(const SmoothInput& input) {
  std::vector<double> maxima(input.min.size());
  for (const MatrixView& weight : input.weights) {
    for (std::int64_t i = 0; i < weight.rows; ++i) {
      const std::span<const float> row = weight.row(i);
      for (std::size_t j = 0; j < maxima.size(); ++j) {
        maxima[j] = std::max<double>(maxima[j], std::abs(row[j]));
      }
    }
  }
  return maxima;
}

// Each row times `smooth`, rounded to codes and back.
RowMatrixF QuantizedWeight(const MatrixView& weight, std::span<const float> smooth, const TensorQConfig& config) {
  RowMatrixF out = View(weight).array().rowwise() * View(smooth).array();
  const std::vector<float> scales = WeightScales({out.data(), weight.rows, weight.cols}, config);
  std::vector<std::int8_t> codes(smooth.size());
  for (std::int64_t i = 0; i < weight.rows; ++i) {
    const std::span<float> row(out.data() + i * weight.cols, smooth.size());
    const float scale = scales[static_cast<std::size_t>(i)];
    RoundRow(row, scale, WeightCodes(config), codes);
    std::ranges::transform(codes, row.begin(), [&](std::int8_t code) { return static_cast<float>(code) * scale; });
  }
  return out;
}

double SquaredError(const SmoothInput& input, const MatrixView& sample, std::span<const float> smooth, bool dynamic,
                    const LayerQConfig& config) {
  ActivationQuantizer quantizer{.inv_smooth = Reciprocals(smooth)};
  if (!dynamic) {
    quantizer.fixed = StaticParams(SmoothedMinMax(input.min, input.max, quantizer.inv_smooth), config.activations);
  }
  RowMatrixF x(sample.rows, sample.cols);
  FakeQuantizeRows(sample, quantizer, x.data());
  double sum = 0;
  for (const MatrixView& weight : input.weights) {
    RowMatrixF error = x * QuantizedWeight(weight, smooth, config.weights).transpose();
    error.noalias() -= View(sample) * View(weight).transpose();
    sum += error.cast<double>().squaredNorm();
  }
  return sum;
}

}  // namespace

std::vector<float> Reciprocals(std::span<const float> values) {
  std::vector<float> out(values.size());
  std::ranges::transform(values, out.begin(), [](float value) { return 1.0F / value; });
  return out;
}

std::vector<float> SmoothScales(const SmoothInput& input, float alpha) {
  const std::size_t cols = input.min.size();
  if (alpha == 0) {
    return std::vector<float>(cols, 1.0F);
  }
  const std::vector<double> weight = WeightMaxima(input);
  std::vector<double> log_scale(cols);
  double mean = 0;
  for (std::size_t j = 0; j < cols; ++j) {
    const double x = std::max<double>(std::abs(input.min[j]), std::abs(input.max[j]));
    log_scale[j] =
        alpha * std::log(std::max(x, kLeastMaximum)) - (1.0 - alpha) * std::log(std::max(weight[j], kLeastMaximum));
    mean += log_scale[j] / static_cast<double>(cols);
  }
  std::vector<float> out(cols);
  std::ranges::transform(log_scale, out.begin(),
                         [&](double value) { return static_cast<float>(std::exp(value - mean)); });
  return out;
}

Range SmoothedMinMax(std::span<const float> min, std::span<const float> max, std::span<const float> inv_smooth) {
  float lo = 0;
  float hi = 0;
  for (std::size_t j = 0; j < min.size(); ++j) {
    const float factor = inv_smooth.empty() ? 1.0F : inv_smooth[j];
    lo = std::min(lo, min[j] * factor);
    hi = std::max(hi, max[j] * factor);
  }
  return {lo, hi};
}

SmoothChoice ChooseSmoothing(const SmoothInput& input, const MatrixView& sample, bool dynamic,
                             const LayerQConfig& config, std::span<const float> alphas, ThreadPool* pool) {
  std::vector<SmoothChoice> choices(alphas.size());
  std::vector<std::exception_ptr> failures(alphas.size());
  pool->Run(static_cast<std::int64_t>(alphas.size()), [&](std::int64_t task, int /*thread*/) {
    const auto i = static_cast<std::size_t>(task);
    try {
      choices[i] = {alphas[i], SmoothScales(input, alphas[i])};
      choices[i].squared_error = SquaredError(input, sample, choices[i].smooth, dynamic, config);
    } catch (...) {
      failures[i] = std::current_exception();
    }
  });
  for (const std::exception_ptr& failure : failures) {
    if (failure) {
      std::rethrow_exception(failure);
    }
  }
  return *std::ranges::min_element(choices, {}, &SmoothChoice::squared_error);
}

}  // namespace laconic::quant
