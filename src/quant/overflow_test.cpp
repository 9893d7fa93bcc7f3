// The saturating sum against the instruction it stands for, where the CPU has it, and its bound by hand.

#include "quant/overflow.h"

#include <random>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <gtest/gtest.h>

namespace laconic::quant {
namespace {

TEST(OverflowTest, KnowsWhenAPairCanSaturate) {
  EXPECT_TRUE(CanSaturate(65, 64)) << "255 * 129 = 32895";
  EXPECT_FALSE(CanSaturate(64, 64)) << "255 * 128 = 32640";
  EXPECT_FALSE(CanSaturate(127, -127)) << "one of both is 0 in the worst case";
  EXPECT_TRUE(CanSaturate(-65, -64)) << "-32895";
  EXPECT_FALSE(CanSaturate(-128, 0));
  EXPECT_TRUE(CanSaturate(-128, -1)) << "-32895";
  EXPECT_TRUE(CanSaturate(127, 127, 129, 130));
  EXPECT_FALSE(CanSaturate(127, 127, 129, 129)) << "127 * 258 = 32766";
}

TEST(OverflowTest, WorstCaseIsTheWorst) {
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    const auto w0 = static_cast<std::int8_t>(random());
    const auto w1 = static_cast<std::int8_t>(random());
    bool some = false;
    for (int a = 0; a < 256 * 256; ++a) {
      some = some || !FitsS16(PairSum(static_cast<std::uint8_t>(a), static_cast<std::uint8_t>(a >> 8), w0, w1));
    }
    EXPECT_EQ(CanSaturate(w0, w1), some) << int{w0} << ' ' << int{w1};
  }
}

#if defined(__x86_64__)
[[gnu::target("ssse3")]] std::int32_t InstructionDot(std::span<const std::uint8_t> a, std::span<const std::int8_t> w) {
  alignas(16) std::uint8_t codes[16] = {};
  alignas(16) std::int8_t weights[16] = {};
  std::ranges::copy(a, codes);
  std::ranges::copy(w, weights);
  alignas(16) std::int16_t pairs[8];
  _mm_store_si128(reinterpret_cast<__m128i*>(pairs),
                  _mm_maddubs_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(codes)),
                                    _mm_load_si128(reinterpret_cast<const __m128i*>(weights))));
  std::int32_t sum = 0;
  for (const std::int16_t pair : pairs) {
    sum += pair;
  }
  return sum;
}

TEST(OverflowTest, IsTheInstruction) {
  if (!__builtin_cpu_supports("ssse3")) {
    GTEST_SKIP() << "no pmaddubsw";
  }
  std::mt19937 random(2);
  int num_saturated = 0;
  for (int i = 0; i < 2000; ++i) {
    std::vector<std::uint8_t> a(1 + random() % 16);
    std::vector<std::int8_t> w(a.size());
    std::int32_t exact = 0;
    for (std::size_t j = 0; j < a.size(); ++j) {
      a[j] = static_cast<std::uint8_t>(random());
      w[j] = static_cast<std::int8_t>(random());
      exact += a[j] * w[j];
    }
    EXPECT_EQ(DotSaturated(a, w), InstructionDot(a, w));
    num_saturated += DotSaturated(a, w) != exact ? 1 : 0;
  }
  EXPECT_GT(num_saturated, 200);
}
#endif

}  // namespace
}  // namespace laconic::quant
