#include "quant/ordered_observer.h"

#include <algorithm>
#include <cmath>

#include "laconic/error.h"

namespace laconic::quant {

void BatchExtremes::Add(std::span<const float> values) {
  for (const float raw : values) {
    const float value = raw + 0.0F;  // -0 becomes 0, so that order does not matter
    const float magnitude = std::abs(value);
    const bool first = count++ == 0;
    min = first ? value : std::min(min, value);
    max = first ? value : std::max(max, value);
    abs_min = first ? magnitude : std::min(abs_min, magnitude);
    abs_max = first ? magnitude : std::max(abs_max, magnitude);
  }
}

void BatchExtremes::Merge(const BatchExtremes& other) {
  if (other.count == 0 || count == 0) {
    *this = other.count == 0 ? *this : other;
    return;
  }
  *this = {std::min(min, other.min), std::max(max, other.max), std::min(abs_min, other.abs_min),
           std::max(abs_max, other.abs_max), count + other.count};
}

void Binning::Count(std::span<const float> values, std::span<std::int64_t> counts) const {
  const float first = edges.front();
  const float last = edges.back();
  const bool has_width = first < last;  // else there is no product; values from 2^24 on may all be one
  for (const float raw : values) {
    const float value = magnitudes ? std::abs(raw) : raw;
    if (!(value >= first && value <= last)) {
      continue;
    }
    const auto last_bin = static_cast<std::int64_t>(num_bins()) - 1;
    const float place = (value - first) * static_cast<float>(num_bins()) / (last - first);  // inf past 1e35
    const std::int64_t bin = by_product && has_width
                                 ? static_cast<std::int64_t>(std::min(place, static_cast<float>(last_bin)))
                                 : std::ranges::upper_bound(edges, value) - edges.begin() - 1;
    ++counts[static_cast<std::size_t>(std::min(bin, last_bin))];
  }
}

void OrderedObserver::AddBatch(std::span<const float> values) {
  BatchExtremes extremes;
  extremes.Add(values);
  if (extremes.count == 0) {
    return;
  }
  std::vector<std::int64_t> counts;
  if (const std::optional<Binning> binning = BinningFor(extremes)) {
    counts.resize(binning->num_bins());
    binning->Count(values, counts);
  }
  Update(extremes, counts);
}

std::unique_ptr<OrderedObserver> MakeOrderedObserver(const ObserverConfig& config, Scheme scheme) {
  switch (config.kind) {
    case ObserverKind::kMovingAverage:
      return MakeMovingAverage(config.averaging_constant);
    case ObserverKind::kHistogram:
      return MakeTorchHistogram(config.num_bins);
    case ObserverKind::kOrtEntropy:
      return MakeOrtEntropy(config.num_bins, config.num_levels);
    case ObserverKind::kOrtPercentile:
      return MakeOrtPercentile(config.num_bins, config.percentile, scheme == Scheme::kSymmetric);
    default:
      Fail(ErrorCode::kInvalidArgument, "expected an observer that depends on the order of batches");
  }
}

}  // namespace laconic::quant
