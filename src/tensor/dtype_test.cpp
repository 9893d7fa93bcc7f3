#include "tensor/dtype.h"

#include <bit>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace laconic {
namespace {

TEST(DTypeTest, EveryHalfSurvivesARoundTrip) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float wide = HalfToFloat(half);
    if (std::isnan(wide)) {
      EXPECT_TRUE(std::isnan(HalfToFloat(FloatToHalf(wide))));
    } else {
      ASSERT_EQ(FloatToHalf(wide), half);
    }
    const float brain = BFloat16ToFloat(half);
    if (!std::isnan(brain)) {
      ASSERT_EQ(FloatToBFloat16(brain), half);
    }
  }
}

// The definition of rounding half to even: no neighbour is nearer, and of two that are equally near the even one wins.
TEST(DTypeTest, RoundsToTheNearestHalf) {
  for (std::uint64_t bits = 0; bits < 0x100000000; bits += 65521) {  // a prime, so that low bits vary
    const auto value = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    if (std::isnan(value) || std::fabs(value) >= 65504.0F) {
      continue;
    }
    const std::uint16_t half = FloatToHalf(value);
    const double error = std::fabs(static_cast<double>(HalfToFloat(half)) - value);
    for (const int step : {-1, 1}) {
      const auto magnitude = static_cast<std::uint16_t>((half & 0x7FFF) + step);
      if (magnitude > 0x7BFF) {  // below zero's bits, or not finite
        continue;
      }
      const auto neighbour = static_cast<std::uint16_t>((half & 0x8000) | magnitude);
      const double other = std::fabs(static_cast<double>(HalfToFloat(neighbour)) - value);
      ASSERT_LE(error, other) << value;
      ASSERT_TRUE(error < other || half % 2 == 0) << value;
    }
  }
  EXPECT_EQ(FloatToHalf(65519.0F), 0x7BFF);
  EXPECT_EQ(FloatToHalf(65520.0F), 0x7C00);
  EXPECT_EQ(FloatToHalf(0x1p-25F), 0);  // a tie with the smallest subnormal
}

TEST(DTypeTest, RoundsBFloat16HalfToEven) {
  EXPECT_EQ(FloatToBFloat16(1.0F), 0x3F80);
  EXPECT_EQ(FloatToBFloat16(1.00390625F), 0x3F80);  // a tie: down to even
  EXPECT_EQ(FloatToBFloat16(1.01171875F), 0x3F82);  // a tie: up to even
  EXPECT_EQ(FloatToBFloat16(std::numeric_limits<float>::infinity()), 0x7F80);
}

}  // namespace
}  // namespace laconic
