// Codes of rows and what lies between two of them, against values worked out by hand.

#include "quant/activations.h"

#include <cmath>

#include <gtest/gtest.h>

namespace laconic::quant {
namespace {

TEST(ActivationsTest, StaticCodes) {
  const ActivationQuantizer quantizer{.inv_smooth = {2, 1, 1, 0.5F, 1, 1}, .fixed = QuantParams{0.5F, 10}};
  std::vector<float> x = {0.75F, 0.25F, 0.75F, -1.5F, -100, 1000};  // over the scale: 3, .5, 1.5, -1.5, -200, 2000
  std::vector<std::uint8_t> q(6);
  EXPECT_EQ(QuantizeRow(quantizer, x, q), (RowParams{0.5F, 10}));
  EXPECT_EQ(q, (std::vector<std::uint8_t>{13, 10, 12, 8, 0, 255}));
  x[2] = std::nanf("");
  EXPECT_TRUE(std::isnan(QuantizeRow(quantizer, x, q).scale));
  EXPECT_EQ(q, std::vector<std::uint8_t>(6));
}

TEST(ActivationsTest, DynamicCodesAreThoseOfTheSmoothedRow) {
  const std::vector<float> x = {1.25F, -3, 0.125F};
  const std::vector<float> smoothed = {2.5F, -3, 0.0625F};
  std::vector<std::uint8_t> got(3);
  std::vector<std::uint8_t> expected(3);
  const RowParams params = QuantizeRow({.inv_smooth = {2, 1, 0.5F}, .fixed = {}}, x, got);
  EXPECT_EQ(params, QuantizeRowU8(smoothed, expected));
  EXPECT_EQ(got, expected);
}

TEST(ActivationsTest, Ties) {
  const std::vector<float> x = {0.5F, 0.5F + 0x1p-15F, 0.5F + 0x1p-14F, 1, -7.5F, -7.5F - 0x1p-15F, 99.5F + 0x1p-13F};
  EXPECT_EQ(CountTies({.inv_smooth = {}, .fixed = QuantParams{1, 0}}, {1, 0}, x), 4);
  EXPECT_EQ(CountTies({}, {1, 0}, x), 4);
  EXPECT_EQ(CountTies({.inv_smooth = {1, 1, 1, 0.5F, 1, 1, 1}, .fixed = {}}, {1, 0}, x), 5);
  EXPECT_EQ(CountTies({}, {std::nanf(""), 0}, x), 0);
}

}  // namespace
}  // namespace laconic::quant
