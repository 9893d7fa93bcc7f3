#include "kernels/quantize_rows/quantize_rows.h"

#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include <gtest/gtest.h>

#include "kernels/testing.h"
#include "quant/dynamic.h"

namespace laconic::kernels {
namespace {

TEST(QuantizeRows, RunsTheForcedLevel) { EXPECT_EQ(GetQuantizeRows(ActiveIsa()).isa, ExpectedLevel(Isa::kAvx512Vnni)); }

// Quantizes the rows in x and compares all that comes out with quant/, row by row.
void ExpectEqualsDefinition(GuardedBuffer<float>& x, std::int64_t rows, std::int64_t cols, std::int64_t x_stride,
                            GuardedBuffer<float>* multiplier = nullptr) {
  constexpr std::uint8_t kGap = 201;
  const std::int64_t q_stride = cols + 5;
  GuardedBuffer<std::uint8_t> q(StridedSize(rows, cols, q_stride));
  std::fill_n(q.data(), q.size(), kGap);
  GuardedBuffer<float> scale(rows);
  GuardedBuffer<std::int32_t> zero_point(rows);
  GetQuantizeRows(ActiveIsa())
      .run({rows, cols, x.data(), x_stride, multiplier == nullptr ? nullptr : multiplier->data(), q.data(), q_stride,
            scale.data(), zero_point.data()});
  for (std::int64_t row = 0; row < rows; ++row) {
    SCOPED_TRACE(testing::Message() << "row " << row << " of " << cols << " columns");
    std::vector<std::uint8_t> want(static_cast<std::size_t>(cols));
    const std::span<const float> factors =
        multiplier == nullptr ? std::span<const float>() : std::span(multiplier->data(), want.size());
    const quant::RowParams params =
        quant::QuantizeRowU8({x.data() + row * x_stride, static_cast<std::size_t>(cols)}, want, factors);
    EXPECT_EQ(std::isnan(scale[row]), std::isnan(params.scale));
    if (!std::isnan(params.scale)) {
      EXPECT_EQ(std::bit_cast<std::uint32_t>(scale[row]), std::bit_cast<std::uint32_t>(params.scale));
    }
    EXPECT_EQ(zero_point[row], params.zero_point);
    EXPECT_EQ(std::vector(q.data() + row * q_stride, q.data() + row * q_stride + cols), want);
    if (row + 1 < rows) {
      EXPECT_EQ(std::vector(q.data() + row * q_stride + cols, q.data() + (row + 1) * q_stride),
                std::vector<std::uint8_t>(5, kGap));
    }
  }
}

TEST(QuantizeRows, EqualsTheDefinitionBitForBit) {
  std::mt19937 rng(1);
  for (const std::int64_t cols : {0, 1, 2, 15, 16, 17, 31, 48, 63, 64, 65, 100, 384, 1001}) {
    for (const float deviation : {1e-14F, 1e-3F, 1.0F, 1e20F}) {
      const std::int64_t rows = 7;
      GuardedBuffer<float> x(StridedSize(rows, cols, cols + 3));
      FillNormal(x.span(), rng, deviation);
      for (std::int64_t c = 0; c < cols; ++c) {
        x[(cols + 3) + c] = std::abs(x[(cols + 3) + c]);
        x[2 * (cols + 3) + c] = -std::abs(x[2 * (cols + 3) + c]);
        x[3 * (cols + 3) + c] = c % 2 == 0 ? 0.0F : -0.0F;
      }
      ExpectEqualsDefinition(x, rows, cols, cols + 3);
      GuardedBuffer<float> multiplier(cols);
      FillNormal(multiplier.span(), rng);
      ExpectEqualsDefinition(x, rows, cols, cols + 3, &multiplier);
    }
  }
}

TEST(QuantizeRows, RangesAreTheScalarOnes) {
  std::mt19937 rng(3);
  for (const std::int64_t cols : {0, 1, 15, 16, 17, 63, 64, 65, 128, 1001}) {
    GuardedBuffer<float> x(cols);
    GuardedBuffer<float> multiplier(cols);
    FillNormal(x.span(), rng);
    FillNormal(multiplier.span(), rng);
    for (const float* factors : {static_cast<const float*>(nullptr), static_cast<const float*>(multiplier.data())}) {
      const RowRange want = FindRangeScalar(x.data(), factors, cols);
      const RowRange got = GetQuantizeRows(ActiveIsa()).find_range(x.data(), factors, cols);
      EXPECT_EQ(got.lo, want.lo) << cols;
      EXPECT_EQ(got.hi, want.hi) << cols;
      EXPECT_TRUE(got.finite);
    }
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      for (std::int64_t c = 0; c < cols; c += 7) {
        const float before = std::exchange(x[c], bad);
        EXPECT_FALSE(GetQuantizeRows(ActiveIsa()).find_range(x.data(), nullptr, cols).finite) << c << " of " << cols;
        x[c] = before;
      }
    }
  }
}

TEST(QuantizeRows, TiesAreRoundedAsDefined) {
  // The extremes make the scale 1, so that every second value is a tie.
  GuardedBuffer<float> x(511);
  for (std::int64_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(i) / 2 - 127.5F;
  }
  ExpectEqualsDefinition(x, 1, x.size(), x.size());
}

TEST(QuantizeRows, NotFiniteAnywhereInTheRow) {
  std::mt19937 rng(2);
  const float infinity = std::numeric_limits<float>::infinity();
  for (const std::int64_t cols : {1, 16, 17, 64, 80, 131}) {
    for (std::int64_t at = 0; at < cols; ++at) {
      for (const float bad : {NAN, infinity, -infinity}) {
        GuardedBuffer<float> x(cols);
        FillNormal(x.span(), rng);
        x[at] = bad;
        ExpectEqualsDefinition(x, 1, cols, cols);
      }
    }
  }
  GuardedBuffer<float> range_overflows(64);
  range_overflows[3] = std::numeric_limits<float>::max();
  range_overflows[4] = std::numeric_limits<float>::lowest();
  ExpectEqualsDefinition(range_overflows, 1, 64, 64);
}

}  // namespace
}  // namespace laconic::kernels
