// ONNX Runtime's HistogramCollector for its entropy and percentile calibraters (onnxruntime.quantization.calibrate
// 1.32, numpy 2.4): the same bins, bit for bit.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include <nlohmann/json.hpp>

#include "laconic/error.h"
#include "quant/hex_floats.h"
#include "quant/ordered_observer.h"

namespace laconic::quant {
namespace {

using Json = nlohmann::ordered_json;

// numpy.linspace(first, last, num_bins + 1) in f32; numpy.histogram widens an empty range by 1/2 on each side.
std::vector<float> EqualEdges(float first, float last, std::size_t num_bins) {
  if (first == last) {
    first -= 0.5F;
    last += 0.5F;
  }
  std::vector<float> edges(num_bins + 1);
  const float step = (last - first) / static_cast<float>(num_bins);
  for (std::size_t i = 0; i <= num_bins; ++i) {
    edges[i] = static_cast<float>(i) * step + first;
  }
  edges.back() = last;
  return edges;
}

// A histogram that grows by whole bins when a batch goes beyond it, the observed extremes beside it.
class OrtHistogram : public OrderedObserver {
 public:
  OrtHistogram(std::int64_t num_bins, bool magnitudes)
      : num_bins_(static_cast<std::size_t>(num_bins)), magnitudes_(magnitudes) {}

  std::optional<Binning> BinningFor(const BatchExtremes& batch) const override {
    const Growth growth = GrowthFor(batch);
    return Binning{.edges = growth.edges, .magnitudes = magnitudes_};
  }

  void Update(const BatchExtremes& batch, std::span<const std::int64_t> counts) override {
    Growth growth = GrowthFor(batch);
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      growth.counts[growth.shift + i] += counts_[i];
    }
    std::ranges::transform(counts, growth.counts, growth.counts.begin(), std::plus());
    min_ = counts_.empty() ? batch.min : std::min(min_, batch.min);
    max_ = counts_.empty() ? batch.max : std::max(max_, batch.max);
    counts_ = std::move(growth.counts);
    edges_ = std::move(growth.edges);
    threshold_ = growth.threshold;
  }

  Range FindRange() const override {
    if (counts_.empty()) {
      Fail(ErrorCode::kInvalidArgument, "no value was observed");
    }
    const Range range = Search();
    return {std::max(range.min, min_), std::min(range.max, max_)};
  }

  Json ToJson() const override {
    return {{"min", ToHex(min_)},
            {"max", ToHex(max_)},
            {"threshold", ToHex(threshold_)},
            {"edges", ToHex(edges_)},
            {"counts", counts_}};
  }

  void Load(const Json& json) override {
    const std::vector<std::uint64_t> counts = Integers(Member<Json>(json, "counts"));
    constexpr std::uint64_t kMaxCount = std::uint64_t{1} << 53;
    std::uint64_t total = 0;
    for (const std::uint64_t count : counts) {
      total += std::min(count, kMaxCount - total + 1);
    }
    if (counts.empty() || counts.size() > kMaxBins || total == 0 || total > kMaxCount) {
      Fail(ErrorCode::kInvalidFile, "'counts': expected up to ", kMaxBins, " bins of up to ", kMaxCount, " values");
    }
    counts_.assign(counts.begin(), counts.end());
    edges_ = FromHex(Member<std::string>(json, "edges"), counts.size() + 1);
    min_ = Member<float>(json, "min");
    max_ = Member<float>(json, "max");
    threshold_ = Member<float>(json, "threshold");
    const bool ascending = std::ranges::adjacent_find(edges_, std::not_fn(std::less())) == edges_.end();
    const bool finite = std::isfinite(edges_.front()) && std::isfinite(edges_.back()) && std::isfinite(threshold_);
    if (!ascending || !finite || !(min_ <= max_) || !std::isfinite(max_ - min_) || threshold_ < 0) {
      Fail(ErrorCode::kInvalidFile, "expected ascending edges and finite extremes");
    }
  }

 protected:
  // Given the histogram, the range before it is cut to the extremes.
  virtual Range Search() const = 0;

  const std::vector<std::int64_t>& counts() const { return counts_; }
  const std::vector<float>& edges() const { return edges_; }

 private:
  static constexpr double kMaxBins = 1 << 20;

  struct Growth {
    std::vector<float> edges;
    std::vector<std::int64_t> counts;  // zeros, as many as bins
    std::size_t shift = 0;             // bins before the old ones
    float threshold = 0;
  };

  static void CheckNumBins(double num_bins) {
    if (!(num_bins <= kMaxBins)) {
      Fail(ErrorCode::kUnsupported,
           "the histogram, which grows with the range in steps of the first batch's bins, would "
           "need ",
           num_bins, " of them; expected at most ", kMaxBins);
    }
  }

  Growth GrowthFor(const BatchExtremes& batch) const {
    Growth growth = magnitudes_ ? GrowMagnitudes(batch) : GrowAroundZero(batch);
    growth.counts.resize(growth.edges.size() - 1);
    return growth;
  }

  // Bins from -threshold to threshold.
  Growth GrowAroundZero(const BatchExtremes& batch) const {
    Growth growth = {.threshold = std::max(threshold_, batch.abs_max)};
    std::size_t num_bins = counts_.empty() ? num_bins_ : counts_.size();
    if (!counts_.empty() && threshold_ != 0 && batch.abs_max > threshold_) {
      const float stride = 2 * threshold_ / static_cast<float>(num_bins);
      const float more = std::floor((batch.abs_max - threshold_) / stride) + 1;
      CheckNumBins(static_cast<double>(num_bins) + 2.0 * more);
      growth.shift = static_cast<std::size_t>(more);
      growth.threshold = more * stride + threshold_;
      num_bins += 2 * growth.shift;
    }
    growth.edges = EqualEdges(-growth.threshold, growth.threshold, num_bins);
    return growth;
  }

  // Bins from the least magnitude of the first batch; later ones are appended.
  Growth GrowMagnitudes(const BatchExtremes& batch) const {
    if (counts_.empty()) {
      return {.edges = EqualEdges(batch.abs_min, batch.abs_max, num_bins_)};
    }
    Growth growth = {.edges = edges_};
    if (batch.abs_max > edges_.back()) {
      const float width = edges_[1] - edges_[0];
      const float start = edges_.back() + width;
      const double more = std::ceil((batch.abs_max + width - start) / width);  // numpy.arange
      CheckNumBins(static_cast<double>(edges_.size()) + more);
      const float step = (start + width) - start;
      for (std::int64_t i = 0; i < static_cast<std::int64_t>(more); ++i) {
        growth.edges.push_back(i == 1 ? start + width : start + static_cast<float>(i) * step);
      }
    }
    return growth;
  }

  std::size_t num_bins_;
  bool magnitudes_;
  std::vector<std::int64_t> counts_;
  std::vector<float> edges_;
  float min_ = 0;
  float max_ = 0;
  float threshold_ = 0;
};

class OrtPercentile final : public OrtHistogram {
 public:
  OrtPercentile(std::int64_t num_bins, double percentile, bool symmetric)
      : OrtHistogram(num_bins, symmetric), percentile_(percentile), symmetric_(symmetric) {}

 private:
  Range Search() const override {
    const auto total = static_cast<double>(std::accumulate(counts().begin(), counts().end(), std::int64_t{0}));
    std::vector<double> cdf;
    double sum = 0;
    for (const std::int64_t count : counts()) {
      cdf.push_back(sum += static_cast<double>(count) / total);
    }
    const auto edge = [&](double share) {
      return edges()[static_cast<std::size_t>(std::ranges::lower_bound(cdf, share) - cdf.begin())];
    };
    if (symmetric_) {
      return {-edge(percentile_ / 100), edge(percentile_ / 100)};
    }
    const double cut = (100 - percentile_) / 200;
    return {edge(cut), edge(1 - cut)};
  }

  double percentile_;
  bool symmetric_;
};

// Zeros become `eps`, which the others pay for; in f32. Empty if all are zeros.
std::vector<float> Smoothed(const std::vector<std::int64_t>& counts) {
  constexpr double kEps = 1e-4;
  const auto num_zeros = static_cast<double>(std::ranges::count(counts, 0));
  const double num_others = static_cast<double>(counts.size()) - num_zeros;
  if (num_others == 0) {
    return {};
  }
  const auto share = static_cast<float>(-(kEps * num_zeros / num_others));
  std::vector<float> smoothed;
  for (const std::int64_t count : counts) {
    smoothed.push_back(static_cast<float>(count) + (count == 0 ? static_cast<float>(kEps) : share));
  }
  return smoothed;
}

// numpy.sum of f32: pairwise, in blocks of up to 128 with 8 accumulators.
float PairwiseSum(std::span<const float> values) {
  if (values.size() > 128) {
    const std::size_t half = values.size() / 2 / 8 * 8;
    return PairwiseSum(values.first(half)) + PairwiseSum(values.subspan(half));
  }
  std::array<float, 8> sums{};
  const std::size_t whole = values.size() / 8 * 8;
  for (std::size_t i = 0; i < whole; ++i) {
    sums[i % 8] += values[i];
  }
  float sum = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
  for (std::size_t i = whole; i < values.size(); ++i) {
    sum += values[i];
  }
  return sum;
}

// KL(p || q), each scaled to a sum of 1, in f32.
float Divergence(const std::vector<float>& p, const std::vector<float>& q) {
  const float p_sum = PairwiseSum(p);
  const float q_sum = PairwiseSum(q);
  std::vector<float> terms(p.size());
  for (std::size_t i = 0; i < p.size(); ++i) {
    const float share = p[i] / p_sum;
    terms[i] = share * std::log(share / (q[i] / q_sum));
  }
  return PairwiseSum(terms);
}

class OrtEntropy final : public OrtHistogram {
 public:
  OrtEntropy(std::int64_t num_bins, std::int64_t num_levels)
      : OrtHistogram(num_bins, false), num_levels_(static_cast<std::size_t>(num_levels)) {}

 private:
  // Of the bins around zero, as many as give the least divergence from what `num_levels` levels make of them.
  Range Search() const override {
    const std::size_t zero = counts().size() / 2;
    Range best;
    float least = std::numeric_limits<float>::infinity();
    for (std::size_t i = num_levels_ / 2; i <= zero; ++i) {
      const std::size_t end = std::min(zero + i + 1, counts().size());
      const float divergence = DivergenceOf(zero - i, end);
      if (divergence < least || i == num_levels_ / 2) {
        least = divergence;
        best = {edges()[zero - i], edges()[end]};
      }
    }
    return best;
  }

  float DivergenceOf(std::size_t begin, std::size_t end) const {
    const auto first = counts().begin();
    const std::vector<std::int64_t> inside(first + static_cast<std::ptrdiff_t>(begin),
                                           first + static_cast<std::ptrdiff_t>(end));
    std::vector<std::int64_t> p = inside;
    p.front() += std::accumulate(first, first + static_cast<std::ptrdiff_t>(begin), std::int64_t{0});
    p.back() += std::accumulate(first + static_cast<std::ptrdiff_t>(end), counts().end(), std::int64_t{0});
    const std::size_t merged = inside.size() / num_levels_;
    std::vector<std::int64_t> q(p.size());
    for (std::size_t level = 0; level < num_levels_; ++level) {
      // The last level takes what is left, but is not spread over it.
      const std::size_t from = level * merged;
      const std::size_t to = from + merged;
      std::int64_t sum = 0;
      std::int64_t num_used = 0;
      for (std::size_t i = from; i < (level + 1 == num_levels_ ? inside.size() : to); ++i) {
        sum += inside[i];
        num_used += i < to && p[i] != 0 ? 1 : 0;
      }
      for (std::size_t i = from; i < to && num_used != 0; ++i) {
        q[i] = static_cast<std::int64_t>(static_cast<double>(sum) / static_cast<double>(num_used));
      }
    }
    const std::vector<float> p_smooth = Smoothed(p);
    const std::vector<float> q_smooth = Smoothed(q);
    return p_smooth.empty() || q_smooth.empty() ? std::numeric_limits<float>::infinity()
                                                : Divergence(p_smooth, q_smooth);
  }

  std::size_t num_levels_;
};

}  // namespace

std::unique_ptr<OrderedObserver> MakeOrtEntropy(std::int64_t num_bins, std::int64_t num_levels) {
  return std::make_unique<OrtEntropy>(num_bins, num_levels);
}

std::unique_ptr<OrderedObserver> MakeOrtPercentile(std::int64_t num_bins, double percentile, bool symmetric) {
  return std::make_unique<OrtPercentile>(num_bins, percentile, symmetric);
}

}  // namespace laconic::quant
