#include "quant/dynamic.h"

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

struct Row {
  RowParams params;
  std::vector<std::uint8_t> q;
};

Row Quantize(const std::vector<float>& x) {
  Row row;
  row.q.resize(x.size(), 77);
  row.params = QuantizeRowU8(x, row.q);
  return row;
}

// The rows were quantized by ONNX Runtime, by plain operators: what an exported model computes.
TEST(QuantizeRowU8, EqualsPlainOnnxOperatorsBitForBit) {
  const nlohmann::json golden = ReadJsonFile("src/quant/testdata/dynamic_golden.json");
  ASSERT_GE(golden.at("rows").size(), 40U);
  for (const nlohmann::json& row : golden.at("rows")) {
    std::vector<float> x;
    for (const nlohmann::json& bits : row.at("x")) {
      x.push_back(std::bit_cast<float>(bits.get<std::uint32_t>()));
    }
    const Row got = Quantize(x);
    EXPECT_EQ(std::bit_cast<std::uint32_t>(got.params.scale), row.at("scale").get<std::uint32_t>());
    EXPECT_EQ(got.params.zero_point, row.at("zero_point").get<std::int32_t>());
    EXPECT_EQ(got.q, row.at("q").get<std::vector<std::uint8_t>>());
  }
}

// docs/numerics.md: here x / scale is 63.499996, but x * (1 / scale) is 63.5.
TEST(QuantizeRowU8, MultipliesByTheReciprocal) {
  const Row row = Quantize({0x1.5d5bdcp+1F, -0x1.71ba98p+0F, 0x1.0a106ap+0F});
  EXPECT_EQ(row.params.zero_point, 88);
  EXPECT_EQ(row.q[2], 88 + 64);
}

TEST(QuantizeRowU8, ZeroIsExactAndExtremesReachTheEnds) {
  const Row row = Quantize({-1.0F, 0.0F, 3.0F});
  EXPECT_EQ(row.q[0], 0);
  EXPECT_EQ(row.q[1], row.params.zero_point);
  EXPECT_EQ(row.q[2], 255);
  std::vector<float> back(3);
  DequantizeRowU8(row.q, row.params, back);
  EXPECT_EQ(back[1], 0.0F);
  EXPECT_NEAR(back[2], 3.0F, row.params.scale / 2);
}

TEST(QuantizeRowU8, ZeroesAndEmptyRowsGetTheLeastScale) {
  for (const std::vector<float>& x : {std::vector<float>(5, 0.0F), std::vector<float>{}}) {
    const Row row = Quantize(x);
    EXPECT_EQ(row.params.scale, kMinDynamicScale);
    EXPECT_EQ(row.params.zero_point, 0);
    EXPECT_THAT(row.q, Each(0));
  }
}

TEST(QuantizeRowU8, ARowThatIsNotFiniteHasNoScale) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float largest = std::numeric_limits<float>::max();
  for (const std::vector<float>& x : {std::vector<float>{1, NAN, 2}, std::vector<float>{1, infinity, 2},
                                      std::vector<float>{1, -infinity, 2}, std::vector<float>{-largest, largest, 2}}) {
    const Row row = Quantize(x);
    EXPECT_TRUE(std::isnan(row.params.scale));
    EXPECT_EQ(row.params.zero_point, 0);
    EXPECT_THAT(row.q, Each(0));
  }
}

}  // namespace
}  // namespace laconic::quant
