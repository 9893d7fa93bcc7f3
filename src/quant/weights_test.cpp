#include "quant/weights.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing.h"
#include "laconic/error.h"

namespace laconic::quant {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(QuantizeRowS8, RoundsHalfToEvenOfTheQuotient) {
  std::vector<std::int8_t> q(6);
  EXPECT_EQ(QuantizeRowS8(std::vector<float>{-127, 0.5F, 1.5F, 2.5F, -0.5F, 126.5F}, q), 1.0F);
  EXPECT_THAT(q, ElementsAre(-127, 0, 2, 2, 0, 126));
}

// docs/numerics.md: w / scale is -86.5, a tie that goes to -86; w * (127 / max) would be -86.50001.
TEST(QuantizeRowS8, Divides) {
  std::vector<std::int8_t> q(2);
  EXPECT_EQ(QuantizeRowS8(std::vector<float>{0.41084626F, -0.27982837F}, q), 0.41084626F / 127.0F);
  EXPECT_THAT(q, ElementsAre(127, -86));
}

TEST(QuantizeRowS8, ARowTooSmallForAScaleIsZero) {
  std::vector<std::int8_t> q(2, 5);
  EXPECT_EQ(QuantizeRowS8(std::vector<float>{0.0F, -0.0F}, q), 1.0F);
  EXPECT_THAT(q, ElementsAre(0, 0));
  EXPECT_EQ(QuantizeRowS8(std::vector<float>{1e-36F, -1e-37F}, q), 1.0F);
  EXPECT_THAT(q, ElementsAre(0, 0));
  EXPECT_LT(QuantizeRowS8(std::vector<float>{1e-35F, -1e-37F}, q), 1e-36F);
  EXPECT_THAT(q, ElementsAre(127, -1));
}

TEST(QuantizeRowS8, RefusesWhatIsNotFinite) {
  std::vector<std::int8_t> q(3);
  for (const float bad : {NAN, std::numeric_limits<float>::infinity()}) {
    const std::vector<float> row = {1, 2, bad};
    EXPECT_THAT(ErrorOf(ErrorCode::kInvalidArgument, [&] { QuantizeRowS8(row, q); }), HasSubstr("at index 2")) << bad;
  }
}

TEST(DequantizeRowS8, Multiplies) {
  std::vector<float> x(3);
  DequantizeRowS8(std::vector<std::int8_t>{-127, 0, 3}, 0.5F, x);
  EXPECT_THAT(x, ElementsAre(-63.5F, 0.0F, 1.5F));
}

TEST(LinearU8S8, CorrectsTheZeroPointInIntegers) {
  const std::vector<std::uint8_t> a = {3, 255, 0};
  const std::vector<std::int8_t> w = {-127, 2, 127};
  // (3 - 7) * -127 + (255 - 7) * 2 + (0 - 7) * 127 = 115
  EXPECT_EQ(LinearU8S8(a, {0.5F, 7}, w, 0.25F, 1.0F), 115 * 0.125F + 1.0F);
}

TEST(LinearU8S8, TheMostTermsDoNotOverflowAndOneMoreIsRefused) {
  const std::vector<std::uint8_t> a(kMaxLinearTerms + 1, 255);
  const std::vector<std::int8_t> w(kMaxLinearTerms + 1, -128);
  const std::int64_t exact = -std::int64_t{kMaxLinearTerms} * 255 * 128;
  EXPECT_EQ(LinearU8S8(std::span(a).first(kMaxLinearTerms), {1.0F, 0}, std::span(w).first(kMaxLinearTerms), 1.0F, 0.0F),
            static_cast<float>(exact));
  EXPECT_THROW(LinearU8S8(a, {1.0F, 0}, w, 1.0F, 0.0F), Error);
}

}  // namespace
}  // namespace laconic::quant
