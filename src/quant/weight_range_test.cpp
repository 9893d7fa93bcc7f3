#include "quant/weight_range.h"

#include <cmath>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "laconic/error.h"
#include "quant/testing.h"

namespace laconic::quant {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RangeGolden : public ::testing::Test {
 protected:
  RangeGolden() : golden_(testing::Golden("range")) {
    weight_ = testing::Random(golden_.at("seed").get<std::uint32_t>()).Values(8 * 50);
    for (std::size_t i = 0; i < weight_.size(); ++i) {
      weight_[i] *= i % 50 < 40 ? 0.125F : 1.0F;
    }
  }
  nlohmann::json golden_;
  std::vector<float> weight_;
};

TEST_F(RangeGolden, MseScaleIsTheBestOfTheSteps) {
  const MatrixView weight = testing::AsMatrix(weight_, 50);
  for (std::size_t k = 0; const int max_code : {kFullRange, 15}) {
    const auto expected = golden_.at("mse").at(k++).get<std::vector<float>>();
    for (std::int64_t i = 0; i < weight.rows; ++i) {
      EXPECT_EQ(MseScale(weight.row(i), max_code), expected[static_cast<std::size_t>(i)]) << i;
      EXPECT_LE(MseScale(weight.row(i), max_code), AbsMaxScale(weight.row(i), max_code));
    }
  }
}

TEST_F(RangeGolden, BlocksHaveScalesOfTheirOwnTheLastOneShort) {
  std::vector<std::int8_t> q(50);
  EXPECT_EQ(QuantizeBlocksS8(std::span(weight_).first(50), 32, q),
            golden_.at("block_scales").get<std::vector<float>>());
  EXPECT_EQ(q, golden_.at("block_codes").get<std::vector<std::int8_t>>());
}

TEST(RoundRow, KeepsToAReducedRange) {
  const std::vector<float> w = {-1.0F, 0.5F, 1.0F};
  const float scale = AbsMaxScale(w, kReducedRange);
  EXPECT_EQ(scale, 0x1p-6F);
  std::vector<std::int8_t> q(3);
  RoundRow(w, scale, kReducedRange, q);
  EXPECT_THAT(q, ElementsAre(-64, 32, 64));
  RoundRow(w, scale / 2, kReducedRange, q);
  EXPECT_THAT(q, ElementsAre(-64, 64, 64)) << "clamped";
}

TEST(QuantizeBlocksS8, ABlockOfZerosHasScaleOne) {
  std::vector<std::int8_t> q(5, 9);
  EXPECT_THAT(QuantizeBlocksS8(std::vector<float>{0, 0, 0, 0, -2}, 4, q), ElementsAre(1.0F, 2.0F / 127.0F));
  EXPECT_THAT(q, ElementsAre(0, 0, 0, 0, -127));
}

TEST(QuantizeBlocksS8, NamesWhereAValueIsNotFinite) {
  std::vector<std::int8_t> q(4);
  try {
    QuantizeBlocksS8(std::vector<float>{1, 2, 3, NAN}, 2, q);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr("at index 1"));
    EXPECT_THAT(error.what(), HasSubstr("block from index 2"));
  }
}

}  // namespace
}  // namespace laconic::quant
