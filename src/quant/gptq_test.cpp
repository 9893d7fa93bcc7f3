#include "quant/gptq.h"

#include <cmath>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "laconic/error.h"
#include "quant/testing.h"

namespace laconic::quant {
namespace {

// Correlated columns of whole numbers, as the golden script makes them: their products are exact, so the Hessian is
// NumPy's to the last bit.
std::vector<float> WholeNumbers(testing::Random* random, std::int64_t rows, std::int64_t cols) {
  std::vector<float> x = random->Values(rows * cols);
  for (std::int64_t i = 0; i < rows; ++i) {
    float* row = x.data() + i * cols;
    for (std::int64_t j = 0; j < cols; ++j) {
      row[j] = std::floor(row[j] * 64);
    }
    for (std::int64_t j = 1; j < cols; ++j) {
      row[j] = (row[j] + std::trunc(row[j - 1] / 2)) * (j % 7 == 3 ? 4.0F : 1.0F);
    }
    row[5] = 0;
  }
  return x;
}

struct Problem {
  explicit Problem(const nlohmann::json& golden)
      : cols(golden.at("cols")),
        limits{-golden.at("limit").get<int>(), golden.at("limit").get<int>()},
        random(golden.at("seed").get<std::uint32_t>()) {
    const std::int64_t outputs = golden.at("outputs");
    x = WholeNumbers(&random, golden.at("rows"), cols);
    weight = random.Values(outputs * cols);
    bias = random.Values(outputs);
    for (std::int64_t i = 0; i < outputs; ++i) {
      float absmax = 0;
      for (const float w : Weight().row(i)) {
        absmax = std::max(absmax, std::abs(w));
      }
      scales.push_back(absmax / static_cast<float>(limits.max));
    }
  }
  MatrixView Weight() const { return testing::AsMatrix(weight, cols); }

  // The Hessian of the rows, added in pieces of `piece` rows.
  std::vector<double> MeanProducts(std::int64_t piece, ThreadPool* pool) const {
    Hessian hessian(cols);
    const MatrixView rows = testing::AsMatrix(x, cols);
    for (std::int64_t i = 0; i < rows.rows; i += piece) {
      hessian.Add({rows.data + i * cols, std::min(piece, rows.rows - i), cols}, pool);
    }
    return hessian.Mean(pool);
  }

  std::vector<std::int8_t> Codes(ThreadPool* pool) const {
    std::vector<std::int8_t> q(weight.size());
    GptqRows(Weight(), MakeGptqFactor(MeanProducts(100, pool), cols, kGptqDamping, pool), scales, limits, q, pool);
    return q;
  }

  std::int64_t cols;
  quant::Codes limits;
  testing::Random random;
  std::vector<float> x, weight, bias, scales;
};

// sum over rows of d H dT, d the change of a row's weights
double Loss(const Problem& problem, const std::vector<std::int8_t>& q, const std::vector<double>& hessian) {
  double loss = 0;
  const auto cols = static_cast<std::size_t>(problem.cols);
  for (std::size_t i = 0; i < problem.scales.size(); ++i) {
    std::vector<double> d(cols);
    for (std::size_t j = 0; j < cols; ++j) {
      d[j] = static_cast<double>(q[i * cols + j]) * problem.scales[i] - problem.weight[i * cols + j];
    }
    for (std::size_t j = 0; j < cols * cols; ++j) {
      loss += d[j / cols] * hessian[j] * d[j % cols];
    }
  }
  return loss;
}

TEST(Gptq, CodesAreThoseOfOptimalBrainQuantizationInNumPy) {
  ThreadPool pool(2);
  for (const nlohmann::json& golden : testing::Golden("gptq")) {
    const Problem problem(golden);
    const std::vector<std::int8_t> q = problem.Codes(&pool);
    std::vector<std::int8_t> expected;
    for (const nlohmann::json& row : golden.at("codes")) {
      const auto codes = row.get<std::vector<std::int8_t>>();
      expected.insert(expected.end(), codes.begin(), codes.end());
    }
    EXPECT_EQ(q, expected) << problem.cols << " columns";
    const double loss = Loss(problem, q, problem.MeanProducts(100, &pool));
    EXPECT_NEAR(loss / golden.at("loss").get<double>(), 1, 1e-9);
    EXPECT_LT(loss, 0.4 * golden.at("nearest_loss").get<double>()) << "what it is for";
  }
}

TEST(Gptq, NeitherThreadsNorTheCutOfTheRowsChangeABit) {
  ThreadPool one(1);
  ThreadPool four(4);
  Problem problem(testing::Golden("gptq").at(1));
  for (float& value : problem.x) {
    value *= 0.1F;  // products that are not exact
  }
  EXPECT_EQ(problem.MeanProducts(1, &one), problem.MeanProducts(333, &four));
  EXPECT_EQ(problem.Codes(&one), problem.Codes(&four));
  const std::vector<double> h = problem.MeanProducts(100, &one);
  EXPECT_EQ(MakeGptqFactor(h, problem.cols, kGptqDamping, &one).upper,
            MakeGptqFactor(h, problem.cols, kGptqDamping, &four).upper);
}

TEST(Gptq, AnInputThatIsAlwaysZeroIsRoundedToNearest) {
  ThreadPool pool(1);
  const Problem problem(testing::Golden("gptq").at(0));
  const std::vector<std::int8_t> q = problem.Codes(&pool);
  std::vector<std::int8_t> nearest(40);
  RoundRow(problem.Weight().row(2), problem.scales[2], problem.limits, nearest);
  EXPECT_EQ(q[2 * 40 + 5], nearest[5]);
}

TEST(Gptq, WithoutRowsItRoundsToNearest) {
  ThreadPool pool(1);
  const Problem problem(testing::Golden("gptq").at(2));
  std::vector<std::int8_t> q(problem.weight.size());
  const GptqFactor factor = MakeGptqFactor(Hessian(problem.cols).Mean(&pool), problem.cols, kGptqDamping, &pool);
  GptqRows(problem.Weight(), factor, problem.scales, problem.limits, q, &pool);
  std::vector<std::int8_t> nearest(q.size());
  for (std::size_t i = 0; i < problem.scales.size(); ++i) {
    RoundRow(problem.Weight().row(static_cast<std::int64_t>(i)), problem.scales[i], problem.limits,
             std::span(nearest).subspan(i * 24, 24));
  }
  EXPECT_EQ(q, nearest);
}

TEST(Gptq, RefusesProductsThatAreNotFinite) {
  ThreadPool pool(1);
  for (const float bad : {NAN, INFINITY}) {
    Hessian hessian(2);
    const std::vector<float> rows = {1, 2, bad, 4};
    hessian.Add({rows.data(), 2, 2}, &pool);
    const std::vector<double> mean = hessian.Mean(&pool);
    EXPECT_THROW(MakeGptqFactor(mean, 2, kGptqDamping, &pool), Error);
  }
  EXPECT_THROW(MakeGptqFactor(std::vector<double>{1, 1, 1, 1}, 2, 0, &pool), Error) << "singular without damping";
}

TEST(CorrectedBias, GivesTheFloatLayersMean) {
  ThreadPool pool(1);
  for (const nlohmann::json& golden : testing::Golden("gptq")) {
    const Problem problem(golden);
    ColumnMean quantized(problem.cols);
    ColumnMean exact(problem.cols);
    std::vector<float> shifted = problem.x;
    for (float& value : shifted) {
      value += 0.25F;
    }
    quantized.Add(testing::AsMatrix(problem.x, problem.cols));
    exact.Add(testing::AsMatrix(shifted, problem.cols));
    const std::vector<float> bias = CorrectedBias(problem.Weight(), problem.bias, exact.Mean(), quantized.Mean(),
                                                  problem.scales, problem.Codes(&pool));
    // One rounding to f32 of values of up to about ten.
    EXPECT_THAT(bias, ::testing::Pointwise(::testing::FloatNear(2e-6F), golden.at("bias").get<std::vector<float>>()));
  }
}

}  // namespace
}  // namespace laconic::quant
