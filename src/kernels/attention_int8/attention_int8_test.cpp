#include "kernels/attention_int8/attention_int8.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "kernels/attention/testing.h"
#include "quant/int8_attention.h"

namespace laconic::kernels {
namespace {

using Problem = AttentionProblem;

std::vector<float> Dense(const std::vector<float>& x, std::int64_t rows, std::int64_t cols, std::int64_t stride) {
  std::vector<float> dense;
  for (std::int64_t i = 0; i < rows; ++i) {
    dense.insert(dense.end(), x.begin() + i * stride, x.begin() + i * stride + cols);
  }
  return dense;
}

const AttentionKernels& Active() { return GetAttentionInt8(ActiveIsa()); }

TEST(AttentionInt8, RunsTheForcedLevel) { EXPECT_EQ(Active().isa, std::min(ActiveIsa(), Isa::kAvx512Vnni)); }

TEST(AttentionInt8, AllLevelsAgreeBitForBit) {
  std::mt19937 rng(1);
  for (const std::int64_t dim : {1, 8, 17, 32, 64, 100, 256}) {
    for (const std::int64_t keys : {0, 1, 2, 15, 16, 17, 33, 64, 130}) {
      for (const std::int64_t queries : {0, 1, 5, 17}) {
        Problem problem(queries, keys, dim, rng);
        const std::vector<float> got = problem.Run(Active());
        ASSERT_TRUE(SameBits(got, problem.Run(GetAttentionInt8(Isa::kScalar)))) << queries << "x" << keys << "x" << dim;
      }
    }
  }
}

// The definition's weights are e^x in libm's rounding, so a weight within some 255 * 1e-5 of a tie may get the other
// code: one in 200. Each moves a sum by a value's largest code at most, and the sum of weights is 255 at least: four of
// a row by 4 * 2 / 255 of the largest value. Everything else is the same bits.
TEST(AttentionInt8, IsWhatTheDefinitionSays) {
  std::mt19937 rng(2);
  double total = 0;
  std::int64_t count = 0;
  for (const std::int64_t keys : {1, 3, 40, 128, 700}) {
    Problem problem(7, keys, 64, rng);
    const std::vector<float> got = Dense(problem.Run(Active()), 7, 64, problem.stride);
    std::vector<float> want(got.size());
    quant::Int8Attention(Dense(problem.q.values(), 7, 64, problem.stride),
                         Dense(problem.k.values(), keys, 64, problem.stride),
                         Dense(problem.v.values(), keys, 64, problem.stride), 64, problem.Args().scale, want);
    const float largest = *std::ranges::max_element(problem.v.span());
    for (std::size_t i = 0; i < got.size(); ++i) {
      ASSERT_NEAR(got[i], want[i], largest * 8 / 255) << keys << " keys, at " << i;
      total += std::abs(got[i] - want[i]);
      ++count;
    }
  }
  EXPECT_LT(total / static_cast<double>(count), 1e-4);
}

TEST(AttentionInt8, ARowDoesNotDependOnTheOtherQueriesAndMayBeWrittenOver) {
  std::mt19937 rng(3);
  for (const std::int64_t dim : {32, 64, 100}) {
    Problem problem(23, 77, dim, rng);
    const std::vector<float> want = problem.Run(Active());
    AttentionArgs args = problem.Args();
    args.queries = 1;
    for (std::int64_t i = 0; i < 23; ++i) {
      args.q = args.out = problem.q.data() + i * problem.stride;
      problem.Run(Active(), args);
      EXPECT_TRUE(SameBits({args.out, static_cast<std::size_t>(dim)},
                           {want.data() + i * problem.stride, static_cast<std::size_t>(dim)}))
          << "row " << i;
    }
  }
}

TEST(AttentionInt8, SharpScoresTinyAndHugeNumbers) {
  std::mt19937 rng(4);
  for (const float deviation :
       {6.0F, 1e3F, 1e-20F, 0.0F, 1e18F}) {  // most weights 0; scores of 1e6; all scores 0; up to 1e36
    Problem problem(9, 70, 64, rng, deviation);
    const std::vector<float> got = problem.Run(Active());
    EXPECT_TRUE(SameBits(got, problem.Run(GetAttentionInt8(Isa::kScalar)))) << deviation;
    EXPECT_TRUE(std::isfinite(got[0])) << deviation;
  }
}

// Where f32 cannot tell log2(255) less from 8 less, the largest weight would be 256, whose low byte is 0.
TEST(AttentionInt8, TheOnlyKeyGetsAllOfTheWeightHoweverLargeItsScore) {
  std::mt19937 rng(6);
  for (const float x : {1.0F, 110.0F, 1e3F, 1e4F, 1e8F}) {
    Problem problem(1, 1, 64, rng);
    std::fill_n(problem.q.data(), 64, x);
    std::fill_n(problem.k.data(), 64, x);
    std::fill_n(problem.v.data(), 64, 1.0F);
    for (const AttentionKernels& kernels : {Active(), GetAttentionInt8(Isa::kScalar)}) {
      problem.Run(kernels);
      EXPECT_FLOAT_EQ(problem.out[0], 1) << x;
    }
  }
}

// Of 7e7 and the number below it, 8 less: 255 * 2^-8 is rounded to 1.
TEST(AttentionInt8, TheLargestWeightIs255HoweverLargeItsScore) {
  std::mt19937 rng(8);
  Problem problem(1, 2, 1, rng);
  problem.q[0] = problem.k[0] = 7000;
  problem.k[problem.stride] = std::nextafter(7000.0F, 0.0F);
  problem.v[0] = 1;
  problem.v[problem.stride] = -1;
  for (const AttentionKernels& kernels : {Active(), GetAttentionInt8(Isa::kScalar)}) {
    problem.Run(kernels);
    EXPECT_FLOAT_EQ(problem.out[0], 254.0F / 256);
  }
}

TEST(AttentionInt8, AScoreOfMinusInfinityIsNoWeight) {
  std::mt19937 rng(7);
  Problem problem(1, 2, 1, rng);
  problem.q[0] = 1e20F;
  problem.k[0] = -1e20F;
  problem.k[problem.stride] = 1;
  problem.v[0] = 1;
  problem.v[problem.stride] = -1;
  for (const AttentionKernels& kernels : {Active(), GetAttentionInt8(Isa::kScalar)}) {
    problem.Run(kernels);
    EXPECT_FLOAT_EQ(problem.out[0], -1);
  }
}

TEST(AttentionInt8, WhatIsNotFiniteReachesTheNumbersThatSeeIt) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    std::mt19937 rng(5);
    Problem problem(10, 20, 32, rng);
    const auto expect_nan = [&](const auto& is_seen) {
      problem.Run(Active());
      for (std::int64_t at = 0; at < 320; ++at) {
        const std::int64_t i = at / 32;
        const std::int64_t d = at % 32;
        ASSERT_EQ(std::isnan(problem.out[i * problem.stride + d]), is_seen(i, d)) << bad << " " << i << "," << d;
      }
    };
    problem.v[7 * problem.stride + 5] = bad;
    expect_nan([](std::int64_t, std::int64_t d) { return d == 5; });
    problem.q[3 * problem.stride] = bad;
    expect_nan([](std::int64_t i, std::int64_t d) { return i == 3 || d == 5; });
    problem.k[19 * problem.stride] = bad;
    expect_nan([](std::int64_t, std::int64_t) { return true; });
  }
}

}  // namespace
}  // namespace laconic::kernels
