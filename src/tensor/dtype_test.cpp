#include "tensor/dtype.h"

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

// _Float16 is the compiler's own conversion.
TEST(DTypeTest, RoundsHalfToEvenAsTheCompilerDoes) {
  for (std::uint64_t bits = 0; bits < 0x100000000; bits += 65521) {  // a prime, so that low bits vary
    float value = 0;
    const auto low = static_cast<std::uint32_t>(bits);
    __builtin_memcpy(&value, &low, sizeof(value));
    if (std::isnan(value)) {
      continue;
    }
    const auto expected = static_cast<_Float16>(value);
    std::uint16_t expected_bits = 0;
    __builtin_memcpy(&expected_bits, &expected, sizeof(expected_bits));
    ASSERT_EQ(FloatToHalf(value), expected_bits) << value;
  }
}

TEST(DTypeTest, RoundsBFloat16HalfToEven) {
  EXPECT_EQ(FloatToBFloat16(1.0F), 0x3F80);
  EXPECT_EQ(FloatToBFloat16(1.00390625F), 0x3F80);  // a tie: down to even
  EXPECT_EQ(FloatToBFloat16(1.01171875F), 0x3F82);  // a tie: up to even
  EXPECT_EQ(FloatToBFloat16(std::numeric_limits<float>::infinity()), 0x7F80);
}

}  // namespace
}  // namespace laconic
