#include "metrics/logistic_regression.h"

#include <algorithm>
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

// One of the golden file's two problems.
class LogisticRegression : public ::testing::TestWithParam<int> {
 protected:
  ProblemType problem() const {
    return golden_["problem"] == "multi" ? ProblemType::kMultiLabel : ProblemType::kSingleLabel;
  }
  LabelledFeatures Data(std::span<const float> features, std::span<const std::uint8_t> targets) const {
    return {golden_["num_features"].get<std::int64_t>(), golden_["num_labels"].get<std::int64_t>(), features, targets};
  }
  LabelledFeatures train() const { return Data(features_, targets_); }
  LabelledFeatures validation() const { return Data(validation_features_, validation_targets_); }

  nlohmann::json golden_ = ReadJsonFile("tests/golden/heads.json")["logistic"][static_cast<std::size_t>(GetParam())];
  std::vector<float> features_ = golden_["train"].get<std::vector<float>>();
  std::vector<std::uint8_t> targets_ = golden_["train_targets"].get<std::vector<std::uint8_t>>();
  std::vector<float> validation_features_ = golden_["validation"].get<std::vector<float>>();
  std::vector<std::uint8_t> validation_targets_ = golden_["validation_targets"].get<std::vector<std::uint8_t>>();
  ThreadPool one_{1};
};
INSTANTIATE_TEST_SUITE_P(Problems, LogisticRegression, ::testing::Values(0, 1));

// A gradient of 1e-5 leaves coefficients about 1e-5 / (l2 + curvature) away; an l2 wrong by 1 % moves them by more.
TEST_P(LogisticRegression, CoefficientsAgreeWithScikitLearn) {
  for (const nlohmann::json& expected : golden_["fits"]) {
    const LogisticFit got = FitLogistic(problem(), train(), expected["l2"].get<double>(), &one_);
    EXPECT_TRUE(got.converged);
    EXPECT_LT(got.iterations, 60);
    EXPECT_THAT(got.head.weight, Pointwise(FloatNear(5e-4F), expected["weight"].get<std::vector<float>>()));
    EXPECT_THAT(got.head.bias, Pointwise(FloatNear(2e-3F), expected["bias"].get<std::vector<float>>()));
    EXPECT_NEAR(LogisticLoss(problem(), validation(), got.head), expected["validation_loss"].get<double>(), 2e-4);
  }
}

TEST_P(LogisticRegression, ValidationChoosesThePenalty) {
  std::vector<double> l2s;
  const nlohmann::json* best = nullptr;
  for (const nlohmann::json& fit : golden_["fits"]) {
    l2s.push_back(fit["l2"].get<double>());
    if (best == nullptr || fit["validation_loss"].get<double>() < (*best)["validation_loss"].get<double>()) {
      best = &fit;
    }
  }
  std::reverse(l2s.begin(), l2s.end());
  const LogisticSelection got = FitLogisticWithValidation(problem(), train(), validation(), l2s, &one_);
  EXPECT_EQ(got.l2, (*best)["l2"].get<double>());
  EXPECT_THAT(got.fit.head.weight, Pointwise(FloatNear(5e-4F), (*best)["weight"].get<std::vector<float>>()));
  ASSERT_EQ(got.trials.size(), l2s.size());
  for (std::size_t i = 0; i < l2s.size(); ++i) {
    EXPECT_EQ(got.trials[i].l2, golden_["fits"][i]["l2"].get<double>());
    EXPECT_NEAR(got.trials[i].validation_loss, golden_["fits"][i]["validation_loss"].get<double>(), 2e-4);
  }
}

TEST_P(LogisticRegression, ThreadsDoNotMatter) {
  ThreadPool three(3);
  const LinearHead alone = FitLogistic(problem(), train(), 0.01, &one_).head;
  const LinearHead together = FitLogistic(problem(), train(), 0.01, &three).head;
  EXPECT_EQ(alone.weight, together.weight);
  EXPECT_EQ(alone.bias, together.bias);
}

TEST_P(LogisticRegression, BadInputIsRefused) {
  EXPECT_THROW(FitLogistic(problem(), train(), -1, &one_), Error);
  EXPECT_THROW(FitLogistic(problem(), Data(features_, validation_targets_), 1, &one_), Error);
  EXPECT_THROW(FitLogistic(problem(), Data({}, {}), 1, &one_), Error);
  EXPECT_THROW(FitLogisticWithValidation(problem(), train(), validation(), {}, &one_), Error);
  features_[3] = NAN;
  EXPECT_THROW(FitLogistic(problem(), train(), 1, &one_), Error);
}

TEST(Logistic, SeparableAndConstantFeaturesEndInTime) {
  ThreadPool pool(1);
  const std::vector<float> features = {-1, 5, 1, 5};
  const std::vector<std::uint8_t> targets = {1, 0, 0, 1};
  const LogisticFit fit = FitLogistic(ProblemType::kSingleLabel, {2, 2, features, targets}, 0, &pool);
  EXPECT_GT(fit.head.weight[2], 1);  // label 1 goes with a large first feature
  EXPECT_TRUE(std::isfinite(fit.head.weight[2]));
  EXPECT_EQ(fit.head.weight[1], 0);
  const std::vector<std::uint8_t> two = {1, 1, 0, 1};
  EXPECT_THROW(FitLogistic(ProblemType::kSingleLabel, {2, 2, features, two}, 1, &pool), Error);
}

}  // namespace
}  // namespace laconic
