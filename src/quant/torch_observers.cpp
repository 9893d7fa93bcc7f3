// PyTorch's MovingAverageMinMaxObserver and HistogramObserver (torch.ao.quantization.observer, torch 2.15): the same
// f32 operations, but for sums of f32 in torch whose order depends on the CPU, which are f64 here.
#include <algorithm>
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "laconic/error.h"
#include "quant/hex_floats.h"
#include "quant/ordered_observer.h"

namespace laconic::quant {
namespace {

using Json = nlohmann::ordered_json;

void RequireBatches(bool has_any) {
  if (!has_any) {
    Fail(ErrorCode::kInvalidArgument, "no value was observed");
  }
}

// The range of `json`, as both observers store it. Errors: kInvalidFile if it is not one.
Range RangeFrom(const Json& json) {
  const Range range = {Member<float>(json, "min"), Member<float>(json, "max")};
  if (!std::isfinite(range.max - range.min) || range.min > range.max) {
    Fail(ErrorCode::kInvalidFile, "expected a finite range, got ", range.min, " to ", range.max);
  }
  return range;
}

class MovingAverage final : public OrderedObserver {
 public:
  explicit MovingAverage(double constant) : constant_(static_cast<float>(constant)) {}

  std::optional<Binning> BinningFor(const BatchExtremes&) const override { return std::nullopt; }

  void Update(const BatchExtremes& batch, std::span<const std::int64_t>) override {
    range_ = range_ ? Range{range_->min + constant_ * (batch.min - range_->min),
                            range_->max + constant_ * (batch.max - range_->max)}
                    : Range{batch.min, batch.max};
  }

  Range FindRange() const override {
    RequireBatches(range_.has_value());
    return *range_;
  }

  Json ToJson() const override { return {{"min", ToHex(range_->min)}, {"max", ToHex(range_->max)}}; }
  void Load(const Json& json) override { range_ = RangeFrom(json); }

 private:
  float constant_;
  std::optional<Range> range_;
};

// torch.linspace of f32 on a CPU, whose compiler fuses multiplication and addition.
std::vector<float> Linspace(float start, float end, std::size_t steps) {
  std::vector<float> values(steps);
  const float step = (end - start) / static_cast<float>(steps - 1);
  for (std::size_t i = 0; i < steps; ++i) {
    values[i] = i < steps / 2 ? std::fma(step, static_cast<float>(i), start)
                              : std::fma(-step, static_cast<float>(steps - i - 1), end);
  }
  return values;
}

// torch.div(a, b, rounding_mode="floor") for b > 0.
float FloorDivide(float a, float b) {
  const float mod = std::fmod(a, b);
  float quotient = (a - mod) / b;
  quotient -= mod < 0 ? 1.0F : 0.0F;
  const float floor = std::floor(quotient);
  return quotient - floor > 0.5F ? floor + 1.0F : floor;
}

// The integral of density * x^2 from `begin` to `end`.
float Norm(float begin, float end, float density) { return density * ((end * end * end - begin * begin * begin) / 3); }

class TorchHistogram final : public OrderedObserver {
 public:
  explicit TorchHistogram(std::int64_t num_bins) : num_bins_(static_cast<std::size_t>(num_bins)) {}

  std::optional<Binning> BinningFor(const BatchExtremes& batch) const override {
    Range range = Widened(batch);
    if (range.min == range.max) {
      range = {range.min - 1, range.max + 1};  // as torch.histc
    }
    return Binning{.edges = Linspace(range.min, range.max, num_bins_ + 1), .by_product = true};
  }

  void Update(const BatchExtremes& batch, std::span<const std::int64_t> counts) override {
    const Range widened = Widened(batch);
    std::vector<float> updated(counts.begin(), counts.end());
    if (!histogram_.empty()) {
      const std::vector<float> old = Rescaled(widened);
      std::ranges::transform(old, updated, updated.begin(), std::plus());
    }
    range_ = widened;
    histogram_ = std::move(updated);
  }

  Range FindRange() const override;

  Json ToJson() const override {
    return {{"min", ToHex(range_.min)}, {"max", ToHex(range_.max)}, {"histogram", ToHex(histogram_)}};
  }
  void Load(const Json& json) override {
    range_ = RangeFrom(json);
    histogram_ = FromHex(Member<std::string>(json, "histogram"), num_bins_);
    if (!std::ranges::all_of(histogram_, [](float count) { return count >= 0 && std::isfinite(count); })) {
      Fail(ErrorCode::kInvalidFile, "'histogram': expected counts");
    }
  }

 private:
  static constexpr int kUpsample = 16;
  static constexpr float kLevels = 256;  // also for reduced ranges

  Range Widened(const BatchExtremes& batch) const {
    return histogram_.empty() ? Range{batch.min, batch.max}
                              : Range{std::min(range_.min, batch.min), std::max(range_.max, batch.max)};
  }
  std::vector<float> Rescaled(Range widened) const;
  double ErrorOf(std::size_t first, std::size_t last) const;

  std::size_t num_bins_;
  Range range_;
  std::vector<float> histogram_;  // f32, as torch.histc counts
};

// The histogram over `widened`: each bin cut into 16, whose middles are dropped into the new bins.
std::vector<float> TorchHistogram::Rescaled(Range widened) const {
  if (widened.min == range_.min && widened.max == range_.max) {
    return histogram_;
  }
  std::vector<float> result(num_bins_);
  if (range_.min == range_.max) {
    std::vector<std::int64_t> at(num_bins_);
    Binning{.edges = Linspace(widened.min, widened.max, num_bins_ + 1), .by_product = true}.Count({&range_.min, 1}, at);
    double total = 0;
    for (const float count : histogram_) {
      total += count;
    }
    std::ranges::transform(at, result.begin(),
                           [&](std::int64_t count) { return static_cast<float>(count) * static_cast<float>(total); });
    return result;
  }
  const std::size_t num_parts = num_bins_ * kUpsample;
  const float half = 0.5F * ((range_.max - range_.min) / static_cast<float>(num_parts));
  const std::vector<float> begins = Linspace(range_.min, range_.max, num_parts + 1);
  const std::vector<float> edges = Linspace(widened.min, widened.max, num_bins_ + 1);
  for (std::size_t i = 0; i < num_parts; ++i) {
    const std::int64_t bin = std::ranges::upper_bound(edges, begins[i] + half) - edges.begin() - 1;
    result[static_cast<std::size_t>(std::clamp<std::int64_t>(bin, 0, static_cast<std::int64_t>(num_bins_) - 1))] +=
        histogram_[i / kUpsample] / kUpsample;
  }
  return result;
}

// The squared error of values evenly spread in their bins, if bins first ... last share 256 levels.
double TorchHistogram::ErrorOf(std::size_t first, std::size_t last) const {
  const double bin_width = (static_cast<double>(range_.max) - range_.min) / static_cast<double>(num_bins_);
  const double level_width = bin_width * static_cast<double>(last - first + 1) / kLevels;
  if (level_width == 0) {
    return 0;
  }
  const auto bin = static_cast<float>(bin_width);
  const auto level = static_cast<float>(level_width);
  const auto half = static_cast<float>(level_width / 2);
  const auto level_of = [&](float x) { return std::clamp(FloorDivide(x, level), 0.0F, kLevels - 1); };
  double sum = 0;
  for (std::size_t i = 0; i < num_bins_; ++i) {
    const float begin = (static_cast<float>(i) - static_cast<float>(first)) * bin;
    const float end = begin + bin;
    const float density = histogram_[i] / bin;
    const float begin_level = level_of(begin);
    const float end_level = level_of(end);
    float norm = Norm(begin - (begin_level + 0.5F) * level, half, density);
    norm += (end_level - begin_level - 1) * Norm(-half, half, density);
    norm += Norm(-half, end - (end_level * level + half), density);
    sum += norm;
  }
  return sum;
}

// Cuts quantiles of 1e-5 off that end where more bins fall, as long as the error falls too.
Range TorchHistogram::FindRange() const {
  RequireBatches(!histogram_.empty());
  std::vector<float> cumulated(num_bins_);
  double total = 0;
  for (std::size_t i = 0; i < num_bins_; ++i) {
    total += histogram_[i];
    cumulated[i] = static_cast<float>(total);
  }
  const auto quantile = [&](double share) { return static_cast<float>(share * static_cast<float>(total)); };
  constexpr double kStep = 1e-5;
  double alpha = 0;
  double beta = 1;
  std::size_t first = 0;
  std::size_t last = num_bins_ - 1;
  double least = std::numeric_limits<double>::infinity();
  while (alpha < beta) {
    std::size_t left = first;
    std::size_t right = last;
    while (left < last && cumulated[left] < quantile(alpha + kStep)) {
      ++left;
    }
    while (right > first && cumulated[right] > quantile(beta - kStep)) {
      --right;
    }
    const bool moves_left = left - first > last - right;
    (moves_left ? alpha : beta) += moves_left ? kStep : -kStep;
    const std::size_t next_first = moves_left ? left : first;
    const std::size_t next_last = moves_left ? last : right;
    if (next_first == first && next_last == last) {
      continue;
    }
    const double error = ErrorOf(next_first, next_last);
    if (error > least) {
      break;
    }
    least = error;
    first = next_first;
    last = next_last;
  }
  const float bin = (range_.max - range_.min) / static_cast<float>(num_bins_);
  return {range_.min + bin * static_cast<float>(first), range_.min + bin * static_cast<float>(last + 1)};
}

}  // namespace

std::unique_ptr<OrderedObserver> MakeMovingAverage(double averaging_constant) {
  return std::make_unique<MovingAverage>(averaging_constant);
}

std::unique_ptr<OrderedObserver> MakeTorchHistogram(std::int64_t num_bins) {
  return std::make_unique<TorchHistogram>(num_bins);
}

}  // namespace laconic::quant
