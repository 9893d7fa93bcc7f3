#include "quant/static.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/json.h"

namespace laconic::quant {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> Floats(const nlohmann::json& all_bits) {
  std::vector<float> values;
  for (const nlohmann::json& bits : all_bits) {
    values.push_back(std::bit_cast<float>(bits.get<std::uint32_t>()));
  }
  return values;
}

std::vector<int> Codes(const std::vector<float>& x, const QuantParams& params) {
  std::vector<std::uint8_t> q(x.size());
  QuantizeRowStatic(x, {}, params, q);
  std::vector<int> codes;
  std::ranges::transform(q, std::back_inserter(codes), [&](int code) { return code + LeastCode(params.dtype); });
  return codes;
}

TEST(QuantizeRowStatic, EqualsQuantizeLinearBitForBit) {
  const nlohmann::json golden = ReadJsonFile("src/quant/testdata/static_golden.json");
  ASSERT_GE(golden.at("static").size(), 40U);
  for (const nlohmann::json& row : golden.at("static")) {
    const QuantParams params = {std::bit_cast<float>(row.at("scale").get<std::uint32_t>()),
                                row.at("zero_point").get<std::int32_t>(),
                                ParseDType(row.at("dtype").get<std::string>())};
    EXPECT_EQ(Codes(Floats(row.at("x")), params), row.at("q").get<std::vector<int>>());
  }
}

TEST(DynamicParams, EqualsDynamicQuantizeLinearBitForBit) {
  const nlohmann::json golden = ReadJsonFile("src/quant/testdata/static_golden.json");
  ASSERT_GE(golden.at("dynamic").size(), 39U);
  for (const nlohmann::json& row : golden.at("dynamic")) {
    const std::vector<float> x = Floats(row.at("x"));
    const auto [lo, hi] = std::ranges::minmax(x);
    const QuantParams params = DynamicParams(lo, hi);
    EXPECT_EQ(std::bit_cast<std::uint32_t>(params.scale), row.at("scale").get<std::uint32_t>());
    EXPECT_EQ(params.zero_point, row.at("zero_point").get<std::int32_t>());
    EXPECT_EQ(Codes(x, params), row.at("q").get<std::vector<int>>());
  }
}

// docs/numerics.md: x / scale is 127.499992, but x * (1 / scale) is 127.5.
TEST(QuantizeRowStatic, Divides) {
  EXPECT_THAT(Codes({0.273939937F}, {0.00214854861F, 0, DType::kU8}), ElementsAre(127));
}

TEST(QuantizeRowStatic, MultipliesFirstAndRoundsTheProduct) {
  const std::vector<float> x = {0x1.000002p+0F, 3.0F};
  const std::vector<float> multiplier = {0x1.000002p+0F, 0.5F};
  std::vector<std::uint8_t> q(2);
  // The product is 0x1.000004p+0 once it is rounded: exactly 2.5 scales, a tie that goes to 2.
  const RowParams got = QuantizeRowStatic(x, multiplier, {0x1.000004p+0F / 2.5F, 0, DType::kU8}, q);
  EXPECT_THAT(q, ElementsAre(2, 4));
  EXPECT_EQ(got.zero_point, 0);
}

TEST(QuantizeRowStatic, SaturatesInfinitiesAndMarksARowWithANan) {
  EXPECT_THAT(Codes({-kInfinity, kInfinity, -1e30F, 1e30F, 0}, {0.5F, 3, DType::kS8}),
              ElementsAre(-128, 127, -128, 127, 3));
  std::vector<std::uint8_t> q(3, 9);
  const RowParams params = QuantizeRowStatic(std::vector<float>{1, NAN, 2}, {}, {0.5F, 3, DType::kU8}, q);
  EXPECT_TRUE(std::isnan(params.scale));
  EXPECT_EQ(params.zero_point, 0);
  EXPECT_THAT(q, Each(0));
  const RowParams signed_row =
      QuantizeRowStatic(std::vector<float>{1}, {}, {0.5F, 3, DType::kS8}, std::span(q).first(1));
  EXPECT_EQ(signed_row.zero_point, 131);
}

TEST(DynamicParams, WidensToZeroAndSurvivesTinyRanges) {
  EXPECT_EQ(DynamicParams(1.0F, 2.55F), (QuantParams{2.55F / 255, 0, DType::kU8, {}}));
  EXPECT_EQ(DynamicParams(-255.0F, -1.0F), (QuantParams{1, 255, DType::kU8, {}}));
  EXPECT_EQ(DynamicParams(0, 1e-40F), (QuantParams{1, 0, DType::kU8, {}}));
}

TEST(StaticParams, AReducedRangeClipsItsCodes) {
  TensorQConfig config = {.range = CodeRange::kReduced};
  EXPECT_THAT(Codes({-1, 0, 12.7F, 13, 1e30F, kInfinity}, StaticParams({0, 12.7F}, config)),
              ElementsAre(0, 0, 127, 127, 127, 127));
  config.range = CodeRange::kFull;
  EXPECT_EQ(StaticParams({0, 12.7F}, config).limits, std::nullopt);
  config = {.dtype = CodeType::kS8, .range = CodeRange::kReduced, .scheme = Scheme::kSymmetric};
  EXPECT_THAT(Codes({-7, -6.4F, 6.4F, 7}, StaticParams({-6.4F, 6.4F}, config)), ElementsAre(-64, -64, 64, 64));
  config.convention = Convention::kPyTorch;
  EXPECT_THAT(Codes({-7, 7}, StaticParams({-6.35F, 6.35F}, config)), ElementsAre(-64, 63));
}

}  // namespace
}  // namespace laconic::quant
