#include "metrics/least_squares.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "laconic/error.h"

namespace laconic {
namespace {

using ::testing::FloatNear;
using ::testing::Pointwise;

class LeastSquares : public ::testing::Test {
 protected:
  LinearHead Refit(double penalty, ThreadPool* pool) const {
    return RefitHead(old_, features_, logits_, penalty, pool);
  }

  nlohmann::json golden_ = ReadJsonFile("tests/golden/heads.json")["least_squares"];
  LinearHead old_ = {golden_["num_labels"].get<std::int64_t>(), golden_["num_features"].get<std::int64_t>(),
                     golden_["old_weight"].get<std::vector<float>>(), golden_["old_bias"].get<std::vector<float>>()};
  std::vector<float> features_ = golden_["features"].get<std::vector<float>>();
  std::vector<float> logits_ = golden_["logits"].get<std::vector<float>>();
  ThreadPool one_{1};
};

TEST_F(LeastSquares, AgreesWithNumpy) {
  const LinearHead got = Refit(golden_["penalty"].get<double>(), &one_);
  EXPECT_THAT(got.weight, Pointwise(FloatNear(1e-5F), golden_["weight"].get<std::vector<float>>()));
  EXPECT_THAT(got.bias, Pointwise(FloatNear(1e-5F), golden_["bias"].get<std::vector<float>>()));
}

TEST_F(LeastSquares, AHugePenaltyKeepsTheOldWeights) {
  EXPECT_THAT(Refit(1e12, &one_).weight, Pointwise(FloatNear(1e-6F), old_.weight));
}

TEST_F(LeastSquares, ThreadsDoNotMatter) {
  ThreadPool three(3);
  EXPECT_EQ(Refit(0.1, &three).weight, Refit(0.1, &one_).weight);
}

TEST_F(LeastSquares, BadInputIsRefused) {
  EXPECT_THROW(Refit(-1, &one_), Error);
  EXPECT_THROW(Refit(std::nan(""), &one_), Error);
  EXPECT_THROW(RefitHead(old_, features_, std::span(logits_).first(3), 0.1, &one_), Error);
  EXPECT_THROW(RefitHead(old_, std::span(features_).first(5), logits_, 0.1, &one_), Error);
  logits_[4] = INFINITY;
  EXPECT_THROW(Refit(0.1, &one_), Error);
  logits_[4] = 0;
  features_.assign(features_.size(), 1);  // constant, hence dependent
  EXPECT_THROW(Refit(0, &one_), Error);
  features_[7] = NAN;
  EXPECT_THROW(Refit(0.1, &one_), Error);
}

}  // namespace
}  // namespace laconic
