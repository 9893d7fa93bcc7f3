#include "quant/ranges.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "laconic/error.h"

namespace laconic::quant {
namespace {

Range WithZero(Range range) { return {std::min(0.0F, range.min), std::max(0.0F, range.max)}; }

// Bins of magnitudes. The bins of x and -x have the same ends but where these are cut to the range.
std::vector<Bin> FoldedBins(const std::vector<Bin>& bins) {
  std::map<float, Bin> folded;
  for (const Bin& bin : bins) {
    const Bin magnitude = bin.lo < 0 ? Bin{-bin.hi, -bin.lo, bin.count} : bin;
    Bin& sum = folded.try_emplace(magnitude.lo, Bin{magnitude.lo, magnitude.hi, 0}).first->second;
    sum.hi = std::max(sum.hi, magnitude.hi);
    sum.count += magnitude.count;
  }
  std::vector<Bin> result;
  std::ranges::transform(folded, std::back_inserter(result), [](const auto& entry) { return entry.second; });
  return result;
}

// The upper end of the first of `bins` up to which more than `share` of all values lie.
template <typename Bins>
const Bin& FirstBeyond(const Bins& bins, double share, std::uint64_t total) {
  const double wanted = share * static_cast<double>(total);
  std::uint64_t seen = 0;
  for (const Bin& bin : bins) {
    seen += bin.count;
    if (static_cast<double>(seen) > wanted) {
      return bin;
    }
  }
  return *std::prev(bins.end());
}

Range PercentileRange(const std::vector<Bin>& bins, std::uint64_t total, double percentile, bool symmetric) {
  const double outside = 1 - percentile / 100;
  if (symmetric) {
    const std::vector<Bin> folded = FoldedBins(bins);
    const float bound = FirstBeyond(std::vector(folded.rbegin(), folded.rend()), outside, total).hi;
    return {-bound, bound};
  }
  return {FirstBeyond(bins, outside / 2, total).lo,
          FirstBeyond(std::vector(bins.rbegin(), bins.rend()), outside / 2, total).hi};
}

// The least squared error, each end of the range cut by a factor of 1, .99, ..., .5: one end after the other, until
// neither moves.
Range MseRange(const std::vector<Bin>& bins, Range range, const TensorQConfig& config) {
  const Codes codes = CodesOf(config);
  const bool symmetric = config.scheme == Scheme::kSymmetric;
  const auto at = [&](int low, int high) {
    const auto cut = [](float bound, int percent) {
      return static_cast<float>(bound * (static_cast<double>(percent) / 100));
    };
    return Range{cut(range.min, low), cut(range.max, high)};
  };
  const auto error_at = [&](int low, int high) { return SquaredError(bins, ParamsOf(at(low, high), config), codes); };
  int low = 100;
  int high = 100;
  double least = error_at(low, high);
  for (bool moved = true; moved;) {
    moved = false;
    const auto move = [&](int to_low, int to_high) {
      const double error = error_at(to_low, to_high);
      if (error < least) {
        least = error;
        low = to_low;
        high = to_high;
        moved = true;
      }
    };
    for (int percent = 100; percent >= 50; --percent) {
      move(symmetric ? percent : low, percent);
    }
    for (int percent = 100; percent >= 50 && !symmetric; --percent) {
      move(percent, high);
    }
  }
  return at(low, high);
}

// Counts of `bins` in equal parts of `range`.
std::vector<double> EqualParts(const std::vector<Bin>& bins, Range range, std::int64_t num_parts) {
  std::vector<double> parts(static_cast<std::size_t>(num_parts));
  const double per_unit = static_cast<double>(num_parts) / (static_cast<double>(range.max) - range.min);
  const auto position = [&](float value) {
    return std::clamp((static_cast<double>(value) - range.min) * per_unit, 0.0, static_cast<double>(num_parts));
  };
  for (const Bin& bin : bins) {
    const double begin = position(bin.lo);
    const double end = position(bin.hi);
    const auto count = static_cast<double>(bin.count);
    const auto first = std::min(static_cast<std::int64_t>(begin), num_parts - 1);
    const auto last = std::min(static_cast<std::int64_t>(end), num_parts - 1);
    for (std::int64_t i = first; i <= last; ++i) {
      const double covered = std::min(end, static_cast<double>(i + 1)) - std::max(begin, static_cast<double>(i));
      parts[static_cast<std::size_t>(i)] += first == last ? count : count * covered / (end - begin);
    }
  }
  return parts;
}

// KL(P || Q) of the parts first ... first + size - 1: P has what lies outside added to its ends; Q has them merged into
// `num_levels` levels, each spread evenly over those of its parts that P has.
double Divergence(const std::vector<double>& parts, std::size_t first, std::size_t size, std::size_t num_levels) {
  constexpr double kUniform = 1e-4;  // of Q is spread over all parts, so that it is nowhere 0
  const auto begin = parts.begin() + static_cast<std::ptrdiff_t>(first);
  std::vector<double> p(begin, begin + static_cast<std::ptrdiff_t>(size));
  const double inside = std::accumulate(p.begin(), p.end(), 0.0);
  p.front() += std::accumulate(parts.begin(), begin, 0.0);
  p.back() += std::accumulate(begin + static_cast<std::ptrdiff_t>(size), parts.end(), 0.0);
  const double total = std::accumulate(p.begin(), p.end(), 0.0);
  if (inside == 0) {
    return std::numeric_limits<double>::infinity();
  }
  double divergence = 0;
  for (std::size_t level = 0; level < num_levels; ++level) {
    const std::size_t from = level * size / num_levels;
    const std::size_t to = (level + 1) * size / num_levels;
    double sum = 0;
    double num_used = 0;
    for (std::size_t i = from; i < to; ++i) {
      sum += parts[first + i];
      num_used += p[i] != 0 ? 1 : 0;
    }
    for (std::size_t i = from; i < to; ++i) {
      if (p[i] != 0) {
        const double q = (1 - kUniform) * sum / num_used / inside + kUniform / static_cast<double>(size);
        divergence += p[i] / total * std::log(p[i] / total / q);
      }
    }
  }
  return divergence;
}

// Of the ranges that reach equally far to both sides of 0 (where there are values), of at least num_levels parts, the
// one with the least divergence; of equals the widest.
Range EntropyRange(const std::vector<Bin>& bins, Range range, const ObserverConfig& observer, bool symmetric) {
  range = symmetric ? Range{0, range.max} : WithZero(range);
  if (range.min == range.max) {
    return range;
  }
  const std::int64_t num_parts = observer.num_bins;
  const std::vector<double> parts = EqualParts(symmetric ? FoldedBins(bins) : bins, range, num_parts);
  const double width = static_cast<double>(range.max) - range.min;
  const auto zero = static_cast<std::int64_t>(std::round(-range.min / width * static_cast<double>(num_parts)));
  // Magnitudes have half of the levels.
  const std::int64_t num_levels = symmetric ? observer.num_levels / 2 : observer.num_levels;
  double least = std::numeric_limits<double>::infinity();
  std::int64_t best_first = 0;
  std::int64_t best_end = num_parts;
  for (std::int64_t reach = num_parts; reach > 0; --reach) {
    const std::int64_t first = std::max<std::int64_t>(0, zero - reach);
    const std::int64_t end = std::min(num_parts, zero + reach);
    if (end - first < num_levels) {
      break;
    }
    const double divergence = Divergence(parts, static_cast<std::size_t>(first), static_cast<std::size_t>(end - first),
                                         static_cast<std::size_t>(num_levels));
    if (divergence < least) {
      least = divergence;
      best_first = first;
      best_end = end;
    }
  }
  const auto bound = [&](std::int64_t part) {
    return static_cast<float>(range.min + width * static_cast<double>(part) / static_cast<double>(num_parts));
  };
  return symmetric ? Range{-bound(best_end), bound(best_end)} : Range{bound(best_first), bound(best_end)};
}

}  // namespace

// With t = x / scale, the integral of (t - n)^2, n = clamp(rne(t)), is n / 12 + (t - n)^3 / 3, continuous at each step.
double SquaredError(std::span<const Bin> bins, RowParams params, Codes codes) {
  const double scale = params.scale;
  const auto code_of = [&](double t) {
    return std::clamp(std::nearbyint(t), static_cast<double>(codes.min - params.zero_point),
                      static_cast<double>(codes.max - params.zero_point));
  };
  const auto integral = [&](double t) {
    const double n = code_of(t);
    return n / 12 + (t - n) * (t - n) * (t - n) / 3;
  };
  constexpr double kPoint = 1e-5;  // of a step: a narrower bin is a point, or its integral drowns in rounding
  double sum = 0;
  for (const Bin& bin : bins) {
    const double begin = bin.lo / scale;
    const double end = bin.hi / scale;
    const double middle = (begin + end) / 2 - code_of((begin + end) / 2);
    const double mean = end - begin < kPoint ? middle * middle : (integral(end) - integral(begin)) / (end - begin);
    sum += static_cast<double>(bin.count) * mean;
  }
  return sum * scale * scale;
}

Range RangeOf(const TensorStatistics& statistics, const TensorQConfig& config) {
  const std::vector<Bin> bins = statistics.Bins();
  if (bins.empty()) {
    Fail(ErrorCode::kInvalidArgument, "no value was observed");
  }
  const Range range = statistics.range();
  const bool symmetric = config.scheme == Scheme::kSymmetric;
  const float bound = std::max(-range.min, range.max);
  const Range whole = symmetric ? Range{-bound, bound} : range;
  switch (config.observer.kind) {
    case ObserverKind::kMinMax:
      return whole;
    case ObserverKind::kPercentile:
      return PercentileRange(bins, statistics.count(), config.observer.percentile, symmetric);
    case ObserverKind::kEntropy:
      return EntropyRange(bins, whole, config.observer, symmetric);
    case ObserverKind::kMse:
      return MseRange(bins, WithZero(whole), config);
    default:
      Fail(ErrorCode::kInvalidArgument,
           "this observer's range depends on the order of the batches, which statistics do "
           "not keep; expected minmax, percentile, entropy or mse");
  }
}

}  // namespace laconic::quant
