#include "quant/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "laconic/error.h"
#include "quant/observer_golden.h"

namespace laconic::quant {
namespace {

using Json = nlohmann::ordered_json;

// Values of every magnitude, both zeros among them.
std::vector<float> AnyValues(std::int64_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) {
    do {
      value = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    } while (!std::isfinite(value));
  }
  values[0] = -0.0F;
  values[1] = 0.0F;
  return values;
}

TensorStatistics Of(const std::vector<float>& values, std::int64_t width) {
  TensorStatistics result(width);
  EXPECT_EQ(result.Add(values.data(), static_cast<std::int64_t>(values.size()) / width, width), 0);
  return result;
}

TEST(TensorStatistics, IsTheSameForAnySplitOrderAndMerging) {
  constexpr std::int64_t kWidth = 3;
  std::vector<float> values = AnyValues(kWidth * 5000, 1);
  const TensorStatistics whole = Of(values, kWidth);
  std::mt19937 random(2);
  for (int round = 0; round < 20; ++round) {
    std::vector<std::int64_t> rows(values.size() / kWidth);
    std::iota(rows.begin(), rows.end(), 0);
    std::shuffle(rows.begin(), rows.end(), random);
    std::vector<TensorStatistics> parts(1 + random() % 5, TensorStatistics(kWidth));
    for (const std::int64_t row : rows) {
      parts[random() % parts.size()].Add(values.data() + row * kWidth, 1, kWidth);
    }
    TensorStatistics merged(kWidth);
    for (const TensorStatistics& part : parts) {
      merged.Merge(TensorStatistics::FromJson(Json::parse(part.ToJson().dump())));
    }
    ASSERT_EQ(merged, whole);
    ASSERT_EQ(merged.ToJson().dump(), whole.ToJson().dump());
  }
}

TEST(TensorStatistics, BinsHoldTheirValues) {
  for (const std::uint32_t seed : {1U, 2U}) {
    std::vector<float> values = AnyValues(4000, seed);
    if (seed == 2) {
      std::ranges::transform(values, values.begin(), [](float value) { return -std::abs(value); });
    }
    const TensorStatistics statistics = Of(values, 4);
    const std::vector<Bin> bins = statistics.Bins();
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < bins.size(); ++i) {
      const auto inside = [&](float value) { return value + 0.0F >= bins[i].lo && value <= bins[i].hi; };
      EXPECT_EQ(std::ranges::count_if(values, inside), static_cast<std::int64_t>(bins[i].count));
      EXPECT_TRUE(i == 0 || bins[i - 1].hi < bins[i].lo);
      total += bins[i].count;
    }
    EXPECT_EQ(total, values.size());
    EXPECT_EQ(statistics.count(), values.size());
    EXPECT_EQ(bins.front().lo, std::ranges::min(values));
    EXPECT_EQ(bins.back().hi, std::ranges::max(values) + 0.0F);
  }
}

TEST(TensorStatistics, ReadsRowsWithAStrideAndKeepsColumnsApart) {
  const std::vector<float> rows = {1, -2, 99, 3, -4, 99, 2, 5, 99};
  TensorStatistics statistics(2);
  statistics.Add(rows.data(), 3, 3);
  EXPECT_EQ(std::vector(statistics.column_min().begin(), statistics.column_min().end()), (std::vector{1.0F, -4.0F}));
  EXPECT_EQ(std::vector(statistics.column_max().begin(), statistics.column_max().end()), (std::vector{3.0F, 5.0F}));
  EXPECT_EQ(statistics.range().max, 5);
}

TEST(TensorStatistics, CountsWhatIsNotFiniteAndKeepsNoneOfIt) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const std::vector<float> rows = {1, NAN, kInf, 2, -kInf, 3};
  TensorStatistics statistics(2);
  EXPECT_EQ(statistics.Add(rows.data(), 3, 2), 3);
  EXPECT_EQ(statistics.count(), 3U);
  EXPECT_EQ(statistics.range().min, 1);
  EXPECT_EQ(statistics.range().max, 3);
}

TEST(TensorStatistics, IsSmallAndReadsBack) {
  const TensorStatistics statistics = Of(AnyValues(1 << 20, 3), 1 << 10);
  const std::string text = statistics.ToJson().dump();
  EXPECT_LT(text.size(), 400U << 10U) << "values of every magnitude there is";
  EXPECT_EQ(TensorStatistics::FromJson(Json::parse(text)), statistics);
}

TEST(TensorStatistics, RefusesToMergeWhatDoesNotFit) {
  TensorStatistics statistics = Of({1, 2}, 2);
  EXPECT_THROW(statistics.Merge(TensorStatistics(3)), Error);
  Json json = Of({1, 1}, 1).ToJson();
  json["bins"] = Json::array({{49024, TensorStatistics::kMaxCount}});
  TensorStatistics full = TensorStatistics::FromJson(json);
  EXPECT_THROW(full.Merge(full), Error);
}

TEST(TensorStatistics, RefusesHostileJson) {
  const Json good = Of({1, 2, 1, 3}, 2).ToJson();
  EXPECT_EQ(good.dump(), R"({"width":2,"min":"3f80000040000000","max":"3f80000040400000",)"
                         R"("bins":[[49024,2],[49152,1],[49216,1]]})");
  const auto refuses = [&](const char* key, const Json& value) {
    Json json = good;
    json[key] = value;
    EXPECT_THROW(TensorStatistics::FromJson(json), Error) << json;
  };
  for (const Json& width : {Json(0), Json(-1), Json(3), Json(1 << 30), Json(2.5), Json("2"), Json(~std::uint64_t{0})}) {
    refuses("width", width);
  }
  for (const char* text : {"", "3f800000", "3f8000004000000g", "7f80000040000000", "7fc0000040000000",
                           "8000000040000000", "4100000040000000"}) {
    refuses("min", text);
  }
  const std::vector<Json> bad_bins = {Json(),
                                      Json(1),
                                      Json::array(),
                                      Json::array({Json::array()}),
                                      Json::parse("[[49024]]"),
                                      Json::parse("[[49024,2],[49152,1]]"),            // not whole rows
                                      Json::parse("[[49024,2],[49152,0],[49216,2]]"),  // an empty bin
                                      Json::parse("[[49216,1],[49152,1],[49024,2]]"),  // not ascending
                                      Json::parse("[[49023,2],[49152,1],[49216,1]]"),  // another minimum
                                      Json::parse("[[49024,2],[49152,1],[49217,1]]"),  // another maximum
                                      Json::parse("[[49024,2],[49152,1],[65536,1]]"),  // no such bin
                                      Json::parse("[[49024,9007199254740993],[49216,1]]"),
                                      Json::parse("[[49024,-2],[49152,1],[49216,1]]"),
                                      Json::parse("[[49024,2.0],[49152,1],[49216,1]]"),
                                      Json::parse("[[18446744073709551615,2]]")};
  for (const Json& bins : bad_bins) {
    refuses("bins", bins);
  }
  EXPECT_THROW(TensorStatistics::FromJson(Json()), Error);
}

}  // namespace
}  // namespace laconic::quant
