#include "kernels/layer_norm/layer_norm.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "kernels/quantize_rows/quantize_rows.h"
#include "kernels/quantize_static/quantize_static.h"
#include "kernels/testing.h"

namespace laconic::kernels {
namespace {

constexpr std::int64_t kRows = 5;

struct Problem {
  Problem(std::int64_t columns, float offset, std::mt19937& rng)
      : cols(columns),
        stride(columns + 3),
        x(StridedSize(kRows, columns, stride)),
        residual(StridedSize(kRows, columns, stride)),
        gamma(columns),
        beta(columns),
        out(StridedSize(kRows, columns, stride)) {
    FillNormal(x.span(), rng);
    for (float& value : x.span()) {
      value += offset;
    }
    FillNormal(residual.span(), rng);
    FillNormal(gamma.span(), rng);
    FillNormal(beta.span(), rng);
    std::fill_n(out.data(), out.size(), kUntouched);
  }

  LayerNormArgs Args(bool with_residual) {
    LayerNormArgs args;
    args.rows = kRows;
    args.cols = cols;
    args.x = x.data();
    args.x_stride = stride;
    args.residual = with_residual ? residual.data() : nullptr;
    args.residual_stride = stride;
    args.gamma = gamma.data();
    args.beta = beta.data();
    args.epsilon = 1e-5F;
    args.out = out.data();
    args.out_stride = stride;
    return args;
  }

  // With u = 2^-24: t is rounded once, the mean carries at most cols / 64 + 8 roundings of sums of |t|, and both come
  // out multiplied by 1/std; 1/std itself and the last steps carry a few roundings each.
  void ExpectNearTheTrueValue(bool with_residual) {
    constexpr double kUnit = 0x1p-24;
    for (std::int64_t row = 0; row < kRows; ++row) {
      std::vector<double> t;
      double sum = 0;
      double largest = 0;
      for (std::int64_t c = 0; c < cols; ++c) {
        t.push_back(double{x[row * stride + c]} + (with_residual ? residual[row * stride + c] : 0.0F));
        sum += t.back();
        largest = std::max(largest, std::abs(t.back()));
      }
      const double mean = sum / static_cast<double>(cols);
      double squares = 0;
      for (const double value : t) {
        squares += (value - mean) * (value - mean);
      }
      const double inv_std = 1 / std::sqrt(squares / static_cast<double>(cols) + 1e-5F);
      const double additions = static_cast<double>(cols) / 64 + 8;
      for (std::int64_t c = 0; c < cols; ++c) {
        const double normal = (t[static_cast<std::size_t>(c)] - mean) * inv_std;
        const double want = normal * gamma[c] + beta[c];
        const double bound =
            kUnit *
            (((additions + 2) * largest * inv_std * (1 + std::abs(normal)) + (additions + 8) * std::abs(normal)) *
                 std::abs(gamma[c]) +
             2 * std::abs(want));
        ASSERT_NEAR(out[row * stride + c], want, bound) << "row " << row << ", " << c << " of " << cols;
      }
      for (std::int64_t c = cols; row + 1 < kRows && c < stride; ++c) {
        ASSERT_EQ(out[row * stride + c], kUntouched);
      }
    }
  }

  std::int64_t cols;
  std::int64_t stride;
  GuardedBuffer<float> x, residual, gamma, beta, out;
};

constexpr std::int64_t kCols[] = {1, 2, 15, 16, 17, 31, 63, 64, 65, 100, 384, 768, 1001};

TEST(LayerNorm, RunsTheForcedLevel) { EXPECT_EQ(GetLayerNorm(ActiveIsa()).isa, ExpectedLevel(Isa::kAvx512Vnni)); }

TEST(LayerNorm, LiesWithinTheBoundAndTheVectorLevelsAgree) {
  std::mt19937 rng(1);
  for (const std::int64_t cols : kCols) {
    for (const float offset : {0.0F, 10.0F}) {
      for (const bool with_residual : {false, true}) {
        Problem problem(cols, offset, rng);
        GetLayerNorm(ActiveIsa()).run(problem.Args(with_residual));
        problem.ExpectNearTheTrueValue(with_residual);
        if (ComparesWithAvx2()) {
          const std::vector<float> want = problem.out.values();
          GetLayerNorm(Isa::kAvx2).run(problem.Args(with_residual));
          ASSERT_TRUE(SameBits(problem.out.span(), want)) << cols;
        }
      }
    }
  }
}

TEST(LayerNorm, QuantizesItsOutputAsTheQuantizersDo) {
  std::mt19937 rng(2);
  for (const std::int64_t cols : kCols) {
    for (const bool is_static : {false, true}) {
      Problem problem(cols, 1, rng);
      GuardedBuffer<std::uint8_t> q(kRows * cols);
      GuardedBuffer<float> scale(kRows);
      GuardedBuffer<std::int32_t> zero(kRows);
      LayerNormArgs args = problem.Args(true);
      GetLayerNorm(ActiveIsa()).run(args);
      const std::vector<float> want = problem.out.values();
      args.q = q.data();
      args.q_stride = cols;
      args.q_multiplier = cols % 2 == 0 ? problem.gamma.data() : nullptr;
      args.q_scale = scale.data();
      args.q_zero = zero.data();
      args.q_is_static = is_static;
      args.static_scale = 0.0137F;
      args.static_zero = 131;
      GetLayerNorm(ActiveIsa()).run(args);
      EXPECT_TRUE(SameBits(problem.out.span(), want));

      std::vector<std::uint8_t> want_q(static_cast<std::size_t>(kRows * cols));
      std::vector<float> want_scale(kRows);
      std::vector<std::int32_t> want_zero(kRows);
      if (is_static) {
        GetQuantizeStatic(ActiveIsa())
            .run({kRows, cols, problem.out.data(), problem.stride, args.q_multiplier, args.static_scale,
                  args.static_zero, want_q.data(), cols, want_scale.data(), want_zero.data()});
      } else {
        GetQuantizeRows(ActiveIsa())
            .run({kRows, cols, problem.out.data(), problem.stride, args.q_multiplier, want_q.data(), cols,
                  want_scale.data(), want_zero.data()});
      }
      EXPECT_EQ(q.values(), want_q);
      EXPECT_EQ(scale.values(), want_scale);
      EXPECT_EQ(zero.values(), want_zero);
    }
  }
}

TEST(LayerNorm, WorksInPlace) {
  std::mt19937 rng(3);
  for (const bool over_residual : {false, true}) {
    Problem problem(100, 0, rng);
    LayerNormArgs args = problem.Args(true);
    GetLayerNorm(ActiveIsa()).run(args);
    GuardedBuffer<float>& target = over_residual ? problem.residual : problem.x;
    args.out = target.data();
    GetLayerNorm(ActiveIsa()).run(args);
    for (std::int64_t row = 0; row < kRows; ++row) {
      EXPECT_TRUE(
          SameBits({target.data() + row * problem.stride, 100}, {problem.out.data() + row * problem.stride, 100}));
    }
  }
}

}  // namespace
}  // namespace laconic::kernels
