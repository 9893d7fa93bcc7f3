#include "quant/weight_range.h"

#include <cmath>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing.h"
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
  for (std::size_t k = 0; const int limit : {127, 15}) {
    const auto expected = golden_.at("mse").at(k++).get<std::vector<float>>();
    for (std::int64_t i = 0; i < weight.rows; ++i) {
      const float widest = std::abs(*std::ranges::max_element(weight.row(i), {}, [](float w) { return std::abs(w); })) /
                           static_cast<float>(limit);
      EXPECT_EQ(MseScale(weight.row(i), widest, {-limit, limit}), expected[static_cast<std::size_t>(i)]) << i;
      EXPECT_TRUE(limit == 15 || AbsMaxScale(weight.row(i)) == widest) << i;
    }
  }
}

TEST(MseScale, OfEqualsIsTheLargest) { EXPECT_EQ(MseScale(std::vector<float>{0, 0}, 0.5F, {-127, 127}), 0.5F); }

TEST_F(RangeGolden, BlocksHaveScalesOfTheirOwnTheLastOneShort) {
  std::vector<std::int8_t> q(50);
  EXPECT_EQ(QuantizeBlocksS8(std::span(weight_).first(50), 32, q),
            golden_.at("block_scales").get<std::vector<float>>());
  EXPECT_EQ(q, golden_.at("block_codes").get<std::vector<std::int8_t>>());
}

TEST(RoundRow, KeepsToAReducedRange) {
  const std::vector<float> w = {-1.0F, 0.5F, 1.0F};
  const float scale = AbsMaxScale(w, kReducedS8);
  EXPECT_EQ(scale, 0x1p-6F);
  std::vector<std::int8_t> q(3);
  RoundRow(w, scale, WeightCodes(kReducedS8), q);
  EXPECT_THAT(q, ElementsAre(-64, 32, 64));
  RoundRow(w, scale / 2, WeightCodes(kReducedS8), q);
  EXPECT_THAT(q, ElementsAre(-64, 64, 64)) << "clamped";
}

// One step beyond max|w| / levels each way: what PyTorch and ONNX Runtime give weights of each type.
TEST(WeightScales, AreThoseOfTheConvention) {
  const std::vector<float> w = {-1, 0.5F, 0, 0.25F, 0.125F, -0.5F};
  const MatrixView weight = testing::AsMatrix(w, 3);
  TensorQConfig config = kSymmetricS8;
  EXPECT_THAT(WeightScales(weight, config), ElementsAre(1 / 127.0F, 0.5F / 127));
  config.convention = Convention::kPyTorch;
  EXPECT_THAT(WeightScales(weight, config), ElementsAre(1 / 127.5F, 0.5F / 127.5F));
  config.granularity = Granularity::kTensor;
  EXPECT_THAT(WeightScales(weight, config), ElementsAre(1 / 127.5F, 1 / 127.5F));
  config.dtype = CodeType::kU8;
  EXPECT_THAT(WeightScales(weight, config), ElementsAre(1 / 127.5F, 1 / 127.5F));
  EXPECT_EQ(WeightCodes(config), (Codes{-128, 127}));
  EXPECT_EQ(WeightZeroPoint(config), 128);
  config.convention = Convention::kOnnxRuntime;
  EXPECT_EQ(WeightCodes(config), (Codes{-128, 127}));
  config.range = CodeRange::kReduced;
  EXPECT_EQ(WeightCodes(config), (Codes{-64, 63}));
}

TEST(QuantizeBlocksS8, ABlockOfZerosHasScaleOne) {
  std::vector<std::int8_t> q(5, 9);
  EXPECT_THAT(QuantizeBlocksS8(std::vector<float>{0, 0, 0, 0, -2}, 4, q), ElementsAre(1.0F, 2.0F / 127.0F));
  EXPECT_THAT(q, ElementsAre(0, 0, 0, 0, -127));
}

TEST(QuantizeBlocksS8, NamesWhereAValueIsNotFinite) {
  std::vector<std::int8_t> q(4);
  const std::vector<float> bad = {1, 2, 3, NAN};
  EXPECT_THAT(ErrorOf(ErrorCode::kInvalidArgument, [&] { QuantizeBlocksS8(bad, 2, q); }),
              ::testing::AllOf(HasSubstr("at index 1"), HasSubstr("block from index 2")));
}

}  // namespace
}  // namespace laconic::quant
