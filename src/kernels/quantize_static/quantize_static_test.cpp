#include "kernels/quantize_static/quantize_static.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "kernels/testing.h"
#include "quant/static.h"

namespace laconic::kernels {
namespace {

TEST(QuantizeStatic, RunsTheForcedLevel) {
  EXPECT_EQ(GetQuantizeStatic(ActiveIsa()).isa, ExpectedLevel(Isa::kAvx512Vnni));
}

struct Case {
  std::int64_t rows, cols, x_stride;
  bool is_scaled;
  float scale;
  std::int32_t zero_point;
};

// Quantizes the rows in x and compares all that comes out with quant/, row by row.
void ExpectEqualsDefinition(GuardedBuffer<float>& x, const Case& c, std::mt19937& rng) {
  constexpr std::uint8_t kGap = 201;
  const std::int64_t q_stride = c.cols + 5;
  GuardedBuffer<float> multiplier(c.cols);
  FillNormal(multiplier.span(), rng);
  GuardedBuffer<std::uint8_t> q(StridedSize(c.rows, c.cols, q_stride));
  std::fill_n(q.data(), q.size(), kGap);
  GuardedBuffer<float> scale(c.rows);
  GuardedBuffer<std::int32_t> zero(c.rows);
  GetQuantizeStatic(ActiveIsa())
      .run({c.rows, c.cols, x.data(), c.x_stride, c.is_scaled ? multiplier.data() : nullptr, c.scale, c.zero_point,
            q.data(), q_stride, scale.data(), zero.data()});
  const auto cols = static_cast<std::size_t>(c.cols);
  const quant::QuantParams params = {c.scale, c.zero_point, DType::kU8};
  for (std::int64_t row = 0; row < c.rows; ++row) {
    SCOPED_TRACE(testing::Message() << "row " << row << " of " << c.cols << " columns");
    std::vector<std::uint8_t> want(cols);
    const std::span<const float> factors(multiplier.data(), c.is_scaled ? cols : 0);
    const quant::RowParams got = quant::QuantizeRowStatic({x.data() + row * c.x_stride, cols}, factors, params, want);
    EXPECT_TRUE(SameBits({scale.data() + row, 1}, std::span(&got.scale, 1)) ||
                (std::isnan(scale[row]) && std::isnan(got.scale)));
    EXPECT_EQ(zero[row], got.zero_point);
    EXPECT_EQ(std::vector(q.data() + row * q_stride, q.data() + row * q_stride + c.cols), want);
    if (row + 1 < c.rows) {
      EXPECT_EQ(std::vector(q.data() + row * q_stride + c.cols, q.data() + (row + 1) * q_stride),
                std::vector<std::uint8_t>(5, kGap));
    }
  }
}

TEST(QuantizeStatic, EqualsTheDefinitionBitForBit) {
  std::mt19937 rng(1);
  for (const std::int64_t cols : {0, 1, 2, 15, 16, 17, 31, 48, 65, 100, 384, 1001}) {
    for (const bool is_scaled : {false, true}) {
      for (const float scale : {1e-38F, 1e-30F, 1e35F, 0.01F, 0.03125F, 7.0F}) {
        const Case c = {5, cols, cols + 3, is_scaled, scale, static_cast<std::int32_t>(rng() % 256)};
        GuardedBuffer<float> x(StridedSize(c.rows, cols, c.x_stride));
        FillNormal(x.span(), rng, 100 * scale);
        ExpectEqualsDefinition(x, c, rng);
      }
    }
  }
}

// Every second value is a tie, or a neighbour of one.
TEST(QuantizeStatic, TiesAreRoundedAsDefined) {
  std::mt19937 rng(2);
  for (const float scale : {1.0F, 0.00214854861F, 0.1F}) {
    GuardedBuffer<float> x(std::int64_t{3} * 1040);
    for (std::int64_t i = 0; i < 1040; ++i) {
      const float tie = (static_cast<float>(i) / 2 - 260.0F) * scale;
      x[i] = tie;
      x[1040 + i] = std::nextafter(tie, 1e9F);
      x[2080 + i] = std::nextafter(tie, -1e9F);
    }
    ExpectEqualsDefinition(x, {3, 1040, 1040, false, scale, 128}, rng);
  }
}

// The nearest values to every tie, for scales of many mantissas: where the reciprocal's roundings could show.
TEST(QuantizeStatic, NeighboursOfTiesAreRoundedAsDefined) {
  std::mt19937 rng(4);
  std::uniform_real_distribution<float> mantissa(1, 2);
  constexpr int kNeighbours = 9;
  constexpr std::int64_t kTies = 520;
  for (int i = 0; i < 200; ++i) {
    const float scale = std::ldexp(mantissa(rng), static_cast<int>(rng() % 40) - 30);
    GuardedBuffer<float> x(kNeighbours * kTies);
    for (std::int64_t tie = 0; tie < kTies; ++tie) {
      const std::int64_t above = tie - kTies / 2;
      float value = (static_cast<float>(above) + 0.5F) * scale;
      for (int step = 0; step < kNeighbours / 2; ++step) {
        value = std::nextafter(value, -1e30F);
      }
      for (std::int64_t n = 0; n < kNeighbours; ++n) {
        x[n * kTies + tie] = value;
        value = std::nextafter(value, 1e30F);
      }
    }
    ExpectEqualsDefinition(x, {kNeighbours, kTies, kTies, false, scale, static_cast<std::int32_t>(rng() % 256)}, rng);
  }
}

TEST(QuantizeStatic, NotFiniteAnywhereInTheRow) {
  std::mt19937 rng(3);
  const float infinity = std::numeric_limits<float>::infinity();
  for (const std::int64_t cols : {1, 16, 17, 80}) {
    for (std::int64_t at = 0; at < cols; ++at) {
      for (const float bad : {NAN, infinity, -infinity}) {
        GuardedBuffer<float> x(2 * cols);
        FillNormal(x.span(), rng);
        x[at] = bad;
        ExpectEqualsDefinition(x, {2, cols, cols, at % 2 == 0, 0.01F, 77}, rng);
      }
    }
  }
}

}  // namespace
}  // namespace laconic::kernels
