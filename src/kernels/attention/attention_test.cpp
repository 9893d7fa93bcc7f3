#include "kernels/attention/attention.h"

#include <bit>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "kernels/attention/testing.h"
#include "tensor/dtype.h"

namespace laconic::kernels {
namespace {

// What the level that runs makes of an operand.
float Rounded(const AttentionKernels& kernels, float x) {
  return kernels.isa >= Isa::kAvx512BF16 ? BFloat16ToFloat(FloatToBFloat16(x)) : x;
}

struct Problem : AttentionProblem {
  Problem(Precision precision, std::int64_t num_queries, std::int64_t num_keys, std::int64_t head_dim,
          std::mt19937& rng, float deviation = 1)
      : AttentionProblem(num_queries, num_keys, head_dim, rng, deviation),
        kernels(&GetAttention(ActiveIsa(), precision)) {}

  void Run() { AttentionProblem::Run(*kernels); }
  void Run(const AttentionArgs& args) { AttentionProblem::Run(*kernels, args); }

  // With operands rounded as the level rounds them, a score errs by at most (dim + 2) u sum |q k| scale = e, a weight
  // so by the factor exp(2 e) and 2 ulp, the sums over the keys by `keys` roundings more; the result is an average of
  // v, so all that is relative to max |v|. bfloat16 weights: 2^-9 and 1e-4 more, in the weights and in their sum.
  void ExpectNearTheTrueValue() {
    constexpr double kUlp = 0x1p-23;
    const bool is_bf16 = kernels->isa >= Isa::kAvx512BF16;
    const float scale = is_bf16 ? Args().scale * 1.44269504F : Args().scale;  // bfloat16 scores are powers of 2
    const double weight_error = is_bf16 ? 2 * (0x1p-9 + 1e-4) : 0;
    std::vector<double> score(static_cast<std::size_t>(keys));
    for (std::int64_t i = 0; i < queries; ++i) {
      double error = 0;
      double largest = -std::numeric_limits<double>::infinity();
      for (std::int64_t j = 0; j < keys; ++j) {
        double dot = 0;
        double magnitude = 0;
        for (std::int64_t d = 0; d < dim; ++d) {
          const double product =
              (is_bf16 ? double{Rounded(*kernels, q[i * stride + d] * scale)} : double{q[i * stride + d]} * scale) *
              Rounded(*kernels, k[j * stride + d]);
          dot += product;
          magnitude += std::abs(product);
        }
        score[static_cast<std::size_t>(j)] = dot;
        largest = std::max(largest, dot);
        error = std::max(error, static_cast<double>(dim + 2) * kUlp * magnitude);
      }
      double sum = 0;
      for (double& value : score) {
        value = is_bf16 ? std::exp2(value - largest) : std::exp(value - largest);
        sum += value;
      }
      for (std::int64_t d = 0; d < dim; ++d) {
        double want = 0;
        double largest_v = 0;
        for (std::int64_t j = 0; j < keys; ++j) {
          want += score[static_cast<std::size_t>(j)] / sum * Rounded(*kernels, v[j * stride + d]);
          largest_v = std::max(largest_v, std::abs(double{v[j * stride + d]}));
        }
        const double bound =
            largest_v * (2 * std::expm1(2 * error) + static_cast<double>(2 * keys + 16) * kUlp + weight_error);
        ASSERT_NEAR(out[i * stride + d], want, bound)
            << queries << "x" << keys << "x" << dim << " at " << i << "," << d;
      }
      for (std::int64_t d = dim; i + 1 < queries && d < stride; ++d) {
        ASSERT_EQ(out[i * stride + d], kUntouched);
      }
    }
  }

  void ExpectWhatAvx2Gives() {
    if (!ComparesWithAvx2() || kernels->isa >= Isa::kAvx512BF16) {
      return;
    }
    const std::vector<float> got = out.values();
    EXPECT_TRUE(SameBits(AttentionProblem::Run(GetAttention(Isa::kAvx2, Precision::kF32)), got))
        << queries << "x" << keys << "x" << dim;
  }

  const AttentionKernels* kernels;
};

class Attention : public testing::TestWithParam<Precision> {};

INSTANTIATE_TEST_SUITE_P(, Attention, testing::Values(Precision::kF32, Precision::kBF16),
                         [](const auto& test) { return std::string(test.param == Precision::kF32 ? "f32" : "bf16"); });

TEST_P(Attention, RunsTheForcedLevel) {
  const bool is_bf16 = GetParam() == Precision::kBF16 && ActiveIsa() >= Isa::kAvx512BF16;
  EXPECT_EQ(GetAttention(ActiveIsa(), GetParam()).isa, is_bf16 ? ActiveIsa() : ExpectedLevel(Isa::kAvx512Vnni));
}

TEST_P(Attention, LiesWithinTheBoundAndTheVectorLevelsAgree) {
  std::mt19937 rng(1);
  for (const std::int64_t dim : {1, 8, 17, 32, 64, 100, 256}) {
    for (const std::int64_t keys : {0, 1, 2, 15, 16, 17, 33, 64, 130}) {
      for (const std::int64_t queries : {0, 1, 5, 17, 40}) {
        Problem problem(GetParam(), queries, keys, dim, rng);
        problem.Run();
        problem.ExpectNearTheTrueValue();
        problem.ExpectWhatAvx2Gives();
      }
    }
  }
}

TEST_P(Attention, LongSequencesAndSharpScores) {
  std::mt19937 rng(2);
  Problem long_one(GetParam(), 9, 1500, 64, rng);
  long_one.Run();
  long_one.ExpectNearTheTrueValue();
  Problem sharp(GetParam(), 9, 70, 64, rng, 6);  // most weights underflow to 0
  sharp.Run();
  sharp.ExpectNearTheTrueValue();
}

TEST_P(Attention, ARowDoesNotDependOnTheOtherQueries) {
  std::mt19937 rng(3);
  for (const std::int64_t dim : {32, 64, 100}) {
    Problem problem(GetParam(), 23, 77, dim, rng);
    problem.Run();
    std::vector<float> alone(static_cast<std::size_t>(dim));
    for (std::int64_t i = 0; i < 23; ++i) {
      AttentionArgs args = problem.Args();
      args.queries = 1;
      args.q += i * args.q_stride;
      args.out = alone.data();
      problem.Run(args);
      EXPECT_TRUE(SameBits(alone, {problem.out.data() + i * problem.stride, alone.size()})) << "row " << i;
    }
  }
}

TEST_P(Attention, MayWriteOverTheQueries) {
  std::mt19937 rng(4);
  Problem problem(GetParam(), 23, 30, 64, rng);
  problem.Run();
  AttentionArgs args = problem.Args();
  args.out = problem.q.data();
  problem.Run(args);
  for (std::int64_t i = 0; i < 23; ++i) {
    EXPECT_TRUE(SameBits({problem.q.data() + i * problem.stride, 64}, {problem.out.data() + i * problem.stride, 64}));
  }
}

TEST_P(Attention, NaNReachesTheRowsThatSeeIt) {
  for (const std::uint32_t bits :
       {0x7FC00000U, 0xFFC00000U, 0x7FC00001U, 0x7FC00002U, 0x7FFFFFFFU}) {  // CUDA's: the last
    std::mt19937 rng(5);
    Problem problem(GetParam(), 10, 20, 32, rng);
    problem.q[3 * problem.stride] = std::bit_cast<float>(bits);
    problem.Run();
    for (std::int64_t i = 0; i < 10; ++i) {
      EXPECT_EQ(std::isnan(problem.out[i * problem.stride]), i == 3) << i << " " << bits;
    }
    problem.k[19 * problem.stride] = std::bit_cast<float>(bits);
    problem.Run();
    for (std::int64_t i = 0; i < 10; ++i) {
      EXPECT_TRUE(std::isnan(problem.out[i * problem.stride])) << i << " " << bits;
    }
  }
}

}  // namespace
}  // namespace laconic::kernels
