#include "quant/ranges.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include <gtest/gtest.h>

#include "laconic/error.h"
#include "quant/observer_golden.h"

namespace laconic::quant {
namespace {

TensorStatistics StatisticsOf(const std::vector<std::vector<float>>& batches, std::int64_t width) {
  TensorStatistics statistics(width);
  for (const auto& batch : batches) {
    statistics.Add(batch.data(), static_cast<std::int64_t>(batch.size()) / width, width);
  }
  return statistics;
}

std::vector<float> Sorted(const std::vector<std::vector<float>>& batches) {
  std::vector<float> values;
  for (const auto& batch : batches) {
    values.insert(values.end(), batch.begin(), batch.end());
  }
  std::ranges::sort(values);
  return values;
}

TensorQConfig Config(ObserverKind kind, Scheme scheme = Scheme::kAffine) {
  return {.observer = ObserverConfig::Default(kind), .scheme = scheme};
}

TEST(RangeOf, MinMaxEqualsPyTorchBitForBit) {
  int compared = 0;
  for (const nlohmann::json& entry : testing::ObserverGolden("torch")) {
    if (entry.at("config").at("observer") == "minmax") {
      const TensorQConfig config = testing::ConfigOf(entry.at("config"));
      const auto batches = testing::GoldenBatches(entry.at("tensor"), entry.at("seed"));
      const RowParams params = ParamsOf(RangeOf(StatisticsOf(batches, testing::kCols), config), config);
      EXPECT_EQ(params.scale, testing::FloatOf(entry.at("scale"))) << entry;
      EXPECT_EQ(params.zero_point, entry.at("zero_point").get<std::int32_t>()) << entry;
      ++compared;
    }
  }
  EXPECT_EQ(compared, 49);
}

TEST(RangeOf, ColumnsEqualPyTorchsPerChannelMinMax) {
  for (const nlohmann::json& entry : testing::ObserverGolden("torch_channels")) {
    const TensorQConfig config = testing::ConfigOf(entry.at("config"));
    const TensorStatistics statistics =
        StatisticsOf(testing::GoldenBatches(entry.at("tensor"), entry.at("seed")), testing::kCols);
    for (std::size_t j = 0; j < testing::kCols; ++j) {
      const Range range = {statistics.column_min()[j], statistics.column_max()[j]};
      EXPECT_EQ(range.min, testing::FloatOf(entry.at("min")[j]));
      EXPECT_EQ(range.max, testing::FloatOf(entry.at("max")[j]));
      const RowParams params = ParamsOf(range, config);
      EXPECT_EQ(params.scale, testing::FloatOf(entry.at("scale")[j])) << entry;
      EXPECT_EQ(params.zero_point, entry.at("zero_point")[j].get<std::int32_t>()) << entry;
    }
  }
}

// numpy.percentile's definition by sorting; ours may lie up to a bin further out, never further in.
TEST(RangeOf, PercentileIsThatOfTheSortedValuesWithinABin) {
  for (const char* tensor : {"normal", "heavy", "positive", "outlier"}) {
    const auto batches = testing::GoldenBatches(tensor, 3);
    const TensorStatistics statistics = StatisticsOf(batches, testing::kCols);
    std::vector<float> values = Sorted(batches);
    for (const double percentile : {60.0, 99.0, 99.9, 100.0}) {
      TensorQConfig config = Config(ObserverKind::kPercentile);
      config.observer.percentile = percentile;
      const auto cut = static_cast<std::size_t>((1 - percentile / 100) / 2 * static_cast<double>(values.size()));
      const Range range = RangeOf(statistics, config);
      EXPECT_LE(range.min, values[cut]);
      EXPECT_NEAR(range.min, values[cut], std::abs(values[cut]) / 128);
      EXPECT_GE(range.max, values[values.size() - 1 - cut]);
      EXPECT_NEAR(range.max, values[values.size() - 1 - cut], std::abs(values[values.size() - 1 - cut]) / 128);
    }
    TensorQConfig config = Config(ObserverKind::kPercentile, Scheme::kSymmetric);
    config.observer.percentile = 99;
    std::ranges::transform(values, values.begin(), [](float value) { return std::abs(value); });
    std::ranges::sort(values);
    const float bound = values[values.size() - 1 - values.size() / 100];
    const Range range = RangeOf(statistics, config);
    EXPECT_EQ(range.min, -range.max);
    EXPECT_GE(range.max, bound);
    EXPECT_NEAR(range.max, bound, bound / 128);
  }
}

// "More than the share": of 8 values, 75 % leave out two, so that the third from outside is the bound.
TEST(RangeOf, PercentileOfAWholeNumberOfValues) {
  TensorQConfig config = Config(ObserverKind::kPercentile, Scheme::kSymmetric);
  config.observer.percentile = 75;
  const Range range = RangeOf(StatisticsOf({{1, -2, 4, -8, 16, 32, -64, 128}}, 1), config);
  EXPECT_GE(range.max, 32);
  EXPECT_LT(range.max, 33);
}

double TrueError(const std::vector<float>& values, Range range, const TensorQConfig& config) {
  const RowParams params = ParamsOf(range, config);
  const Codes codes = CodesOf(config);
  double sum = 0;
  for (const float value : values) {
    const double code = std::clamp(std::nearbyint(static_cast<double>(value) / params.scale) + params.zero_point,
                                   static_cast<double>(codes.min), static_cast<double>(codes.max));
    const double error = value - params.scale * (code - params.zero_point);
    sum += error * error;
  }
  return sum;
}

TEST(SquaredError, IsThatOfTheValuesWithinTheirBins) {
  for (const char* tensor : {"normal", "heavy", "positive", "outlier"}) {
    const auto batches = testing::GoldenBatches(tensor, 4);
    const std::vector<Bin> bins = StatisticsOf(batches, testing::kCols).Bins();
    for (const float bound : {0.5F, 2.0F, 6.0F}) {
      for (const Scheme scheme : {Scheme::kAffine, Scheme::kSymmetric}) {
        const TensorQConfig config = {.scheme = scheme};
        const Range range = {scheme == Scheme::kAffine ? -1.0F : -bound, bound};
        const double expected = TrueError(Sorted(batches), range, config);
        EXPECT_NEAR(SquaredError(bins, ParamsOf(range, config), CodesOf(config)), expected, 0.05 * expected) << tensor;
      }
    }
  }
  const Bin point = {0.7F, 0.7F, 5};
  EXPECT_NEAR(SquaredError({&point, 1}, {0.5F, 0}, {0, 255}), 5 * 0.04, 1e-6);
}

// Against a search over a grid of both ends with the values themselves.
TEST(RangeOf, MseIsNearTheBestThereIs) {
  for (const char* tensor : {"normal", "heavy", "outlier"}) {
    const auto batches = testing::GoldenBatches(tensor, 5);
    const std::vector<float> values = Sorted(batches);
    for (const Scheme scheme : {Scheme::kAffine, Scheme::kSymmetric}) {
      const TensorQConfig config = Config(ObserverKind::kMse, scheme);
      double least =
          TrueError(values, RangeOf(StatisticsOf(batches, 1), Config(ObserverKind::kMinMax, scheme)), config);
      for (int low = 50; low <= 100; low += 5) {
        for (int high = 50; high <= 100; high += 5) {
          const Range range = {values.front() * static_cast<float>(low) / 100,
                               values.back() * static_cast<float>(high) / 100};
          least = std::min(least, TrueError(values, range, config));
        }
      }
      EXPECT_LE(TrueError(values, RangeOf(StatisticsOf(batches, 1), config), config), 1.03 * least) << tensor;
    }
  }
}

// Neither end alone can be moved to lower the error, by the percents that are tried.
TEST(RangeOf, MseMovesEachEndAsFarAsItHelps) {
  auto batches = testing::GoldenBatches("normal", 5);
  batches[0][0] = -30;
  batches[0][1] = 9;
  const TensorStatistics statistics = StatisticsOf(batches, 1);
  const std::vector<Bin> bins = statistics.Bins();
  const TensorQConfig config = Config(ObserverKind::kMse);
  const auto error_of = [&](Range range) { return SquaredError(bins, ParamsOf(range, config), CodesOf(config)); };
  const Range best = RangeOf(statistics, config);
  EXPECT_GT(best.min, -30);
  EXPECT_LT(best.max, 9);
  for (int percent = 50; percent <= 100; ++percent) {
    const auto cut = [&](float bound) { return static_cast<float>(bound * (percent / 100.0)); };
    EXPECT_GE(error_of({best.min, cut(9)}), error_of(best)) << percent;
    EXPECT_GE(error_of({cut(-30), best.max}), error_of(best)) << percent;
  }
}

// KL(P || Q), both written out in full, of a histogram of which bins `first` ... `end` - 1 are kept in `num_levels`.
double KullbackLeibler(const std::vector<double>& counts, std::size_t first, std::size_t end, std::size_t num_levels) {
  std::vector<double> p(counts.begin() + static_cast<std::ptrdiff_t>(first),
                        counts.begin() + static_cast<std::ptrdiff_t>(end));
  std::vector<double> q(p.size());
  const double inside = std::accumulate(p.begin(), p.end(), 0.0);
  std::vector<double> merged(num_levels);
  std::vector<double> used(num_levels);
  const auto level_of = [&](std::size_t i) {  // level l begins at the bin l * size / num_levels, rounded down
    std::size_t level = num_levels - 1;
    while (level * p.size() / num_levels > i) --level;
    return level;
  };
  const std::vector<double> kept = p;
  for (std::size_t i = 0; i < first; ++i) p.front() += counts[i];
  for (std::size_t i = end; i < counts.size(); ++i) p.back() += counts[i];
  for (std::size_t i = 0; i < p.size(); ++i) {
    merged[level_of(i)] += kept[i];
    used[level_of(i)] += p[i] > 0 ? 1 : 0;
  }
  const double total = std::accumulate(p.begin(), p.end(), 0.0);
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0) continue;
    const double share = merged[level_of(i)] / used[level_of(i)] / inside;
    sum += p[i] / total * std::log(p[i] / total / ((1 - 1e-4) * share + 1e-4 / static_cast<double>(p.size())));
  }
  return sum;
}

// Values in the middles of 32 bins, so that each counts in one; some bins are empty.
TEST(RangeOf, EntropyIsTheLeastDivergenceOfAllReaches) {
  std::mt19937 random(5);
  for (int round = 0; round < 40; ++round) {
    const bool symmetric = round % 2 == 1;
    constexpr std::size_t kBins = 32;
    std::vector<double> counts(kBins);
    std::vector<float> values;
    for (std::size_t i = 0; i < kBins; ++i) {
      const double distance = symmetric ? static_cast<double>(i) : std::abs(static_cast<double>(i) - 15.5);
      const bool is_end = i + 1 == kBins || (i == 0 && !symmetric);
      counts[i] = is_end ? 1 : std::floor(static_cast<double>(random() % 200) * std::exp(-distance / 4));
      // The extremes lie on the range's ends, so that a bin is as wide as 1.
      const float end = symmetric ? 32 : i == 0 ? -16 : 16;
      const float middle = static_cast<float>(i) + (symmetric ? 0.5F : -15.5F);
      const float value = is_end ? end : middle;
      values.insert(values.end(), static_cast<std::size_t>(counts[i]), symmetric && i % 2 == 0 ? -value : value);
    }
    TensorQConfig config = Config(ObserverKind::kEntropy, symmetric ? Scheme::kSymmetric : Scheme::kAffine);
    config.observer.num_bins = kBins;
    config.observer.num_levels = 8;
    const std::size_t num_levels = symmetric ? 4 : 8;
    double least = std::numeric_limits<double>::infinity();
    float bound = 0;
    for (std::size_t reach = symmetric ? kBins : kBins / 2; reach * (symmetric ? 1 : 2) >= num_levels; --reach) {
      const std::size_t first = symmetric ? 0 : kBins / 2 - reach;
      const std::size_t end = symmetric ? reach : kBins / 2 + reach;
      const double divergence = KullbackLeibler(counts, first, end, num_levels);
      if (divergence < least) {
        least = divergence;
        bound = static_cast<float>(reach);
      }
    }
    const Range range = RangeOf(StatisticsOf({values}, 1), config);
    EXPECT_EQ(range.max, bound) << round;
    EXPECT_EQ(range.min, -bound) << round;
  }
}

TEST(RangeOf, EntropyCutsAnOutlierAndKeepsZero) {
  for (const Scheme scheme : {Scheme::kAffine, Scheme::kSymmetric}) {
    const TensorQConfig config = Config(ObserverKind::kEntropy, scheme);
    const Range range = RangeOf(StatisticsOf(testing::GoldenBatches("outlier", 6), 1), config);
    EXPECT_LT(range.max, 15.0F) << "of 20";
    EXPECT_GT(range.max, 2.5F);
    EXPECT_TRUE(scheme == Scheme::kAffine || range.min == -range.max);
    EXPECT_EQ(RangeOf(StatisticsOf(testing::GoldenBatches("positive", 6), 1), Config(ObserverKind::kEntropy)).min, 0);
  }
}

TEST(RangeOf, OddTensorsHaveRanges) {
  for (const ObserverKind kind :
       {ObserverKind::kMinMax, ObserverKind::kPercentile, ObserverKind::kEntropy, ObserverKind::kMse}) {
    for (const Scheme scheme : {Scheme::kAffine, Scheme::kSymmetric}) {
      for (const char* tensor : {"zero", "tiny", "constant"}) {
        const TensorQConfig config = Config(kind, scheme);
        const TensorStatistics statistics = StatisticsOf(testing::GoldenBatches(tensor, 7), testing::kCols);
        const Range range = RangeOf(statistics, config);
        EXPECT_LE(range.max, std::max(-statistics.range().min, statistics.range().max));
        EXPECT_GT(ParamsOf(range, config).scale, 0) << tensor;
      }
      const Range constant = RangeOf(StatisticsOf(testing::GoldenBatches("constant", 7), 1), Config(kind, scheme));
      EXPECT_NEAR(constant.max, 0.7F, 0.7F / 255) << static_cast<int>(kind);
      EXPECT_THROW(RangeOf(TensorStatistics(3), Config(kind)), Error);
    }
  }
  EXPECT_THROW(RangeOf(StatisticsOf({{1.0F}}, 1), Config(ObserverKind::kHistogram)), Error);
}

}  // namespace
}  // namespace laconic::quant
