#include "laconic/metrics.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "laconic/error.h"

namespace laconic {
namespace {

using ::testing::ElementsAre;

constexpr double kClose = 1e-12;  // the same sums in another order
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

void ExpectSame(const std::optional<double>& got, const nlohmann::json& expected) {
  ASSERT_EQ(got.has_value(), !expected.is_null());
  if (got) {
    EXPECT_NEAR(*got, expected.get<double>(), kClose);
  }
}

TEST(Metrics, AgreeWithScikitLearn) {
  const nlohmann::json golden = ReadJsonFile("tests/golden/metrics.json");
  ASSERT_EQ(golden["cases"].size(), 5U);
  for (const nlohmann::json& test : golden["cases"]) {
    const auto problem = test["problem"] == "multi" ? ProblemType::kMultiLabel : ProblemType::kSingleLabel;
    const auto num_labels = test["num_labels"].get<std::int64_t>();
    const auto logits = test["logits"].get<std::vector<float>>();
    const auto targets = test["targets"].get<std::vector<std::uint8_t>>();
    EXPECT_EQ(Decide(problem, num_labels, logits), test["decisions"].get<std::vector<std::uint8_t>>());
    const auto probabilities = Probabilities(problem, num_labels, logits);
    for (std::size_t i = 0; i < logits.size(); ++i) {
      EXPECT_FLOAT_EQ(probabilities[i], test["probabilities"][i].get<float>());
    }

    const ClassificationMetrics got = ComputeMetrics(problem, num_labels, logits, targets);
    EXPECT_NEAR(got.accuracy, test["accuracy"].get<double>(), kClose);
    EXPECT_NEAR(got.micro_f1, test["micro_f1"].get<double>(), kClose);
    EXPECT_NEAR(got.macro_f1, test["macro_f1"].get<double>(), kClose);
    ExpectSame(got.macro_roc_auc, test["macro_roc_auc"]);
    ASSERT_EQ(got.labels.size(), static_cast<std::size_t>(num_labels));
    for (std::size_t i = 0; i < got.labels.size(); ++i) {
      EXPECT_NEAR(got.labels[i].precision, test["precision"][i].get<double>(), kClose);
      EXPECT_NEAR(got.labels[i].recall, test["recall"][i].get<double>(), kClose);
      EXPECT_NEAR(got.labels[i].f1, test["f1"][i].get<double>(), kClose);
      EXPECT_EQ(got.labels[i].support, test["support"][i].get<std::int64_t>());
      ExpectSame(got.labels[i].roc_auc, test["roc_auc"][i]);
    }

    const auto compared = CompareLogits(problem, num_labels, logits, test["candidate"].get<std::vector<float>>());
    EXPECT_EQ(compared.predictions_total, test["predictions_total"].get<std::int64_t>());
    EXPECT_EQ(compared.predictions_changed, test["predictions_changed"].get<std::int64_t>());
    EXPECT_EQ(compared.texts_changed, test["texts_changed"].get<std::int64_t>());
    EXPECT_NEAR(compared.mean_abs_difference, test["mean_abs_difference"].get<double>(), kClose);
    EXPECT_EQ(compared.max_abs_difference, test["max_abs_difference"].get<double>());
  }
}

TEST(Metrics, LatenciesAgreeWithNumpy) {
  const nlohmann::json golden = ReadJsonFile("tests/golden/metrics.json")["latency"];
  const auto milliseconds = golden["milliseconds"].get<std::vector<double>>();
  const LatencySummary got = SummarizeLatency(milliseconds, 370);
  EXPECT_NEAR(got.mean, golden["mean"].get<double>(), kClose);
  EXPECT_NEAR(got.std, golden["std"].get<double>(), kClose);
  EXPECT_NEAR(got.p50, golden["p50"].get<double>(), kClose);
  EXPECT_NEAR(got.p95, golden["p95"].get<double>(), kClose);
  EXPECT_NEAR(got.p99, golden["p99"].get<double>(), kClose);
  EXPECT_NEAR(got.throughput_per_s, 10 * 1000 / golden["mean"].get<double>(), 1e-9);  // ten texts a run
  EXPECT_EQ(Percentile(std::vector<double>{7}, 99), 7);
}

TEST(Metrics, AFirstOfEqualLogitsWins) {
  EXPECT_THAT(Decide(ProblemType::kSingleLabel, 3, std::vector<float>{1, 2, 2, 0, 0, 0}),
              ElementsAre(0, 1, 0, 1, 0, 0));
  EXPECT_THAT(Decide(ProblemType::kMultiLabel, 3, std::vector<float>{0, 1e-30F, kNan}), ElementsAre(0, 1, 0));
}

TEST(Metrics, ExtremeLogitsHaveProbabilities) {
  EXPECT_THAT(Probabilities(ProblemType::kSingleLabel, 2, std::vector<float>{1e30F, -1e30F}), ElementsAre(1, 0));
  EXPECT_THAT(Probabilities(ProblemType::kMultiLabel, 2, std::vector<float>{1e30F, -1e30F}), ElementsAre(1, 0));
}

TEST(Metrics, RankingOutlastsSaturatedProbabilities) {
  // Both softmax probabilities of label 0 round to 1.
  const std::vector<float> logits = {100, 0, 200, 0};
  const std::vector<std::uint8_t> targets = {0, 1, 1, 0};
  EXPECT_EQ(ComputeMetrics(ProblemType::kSingleLabel, 2, logits, targets).macro_roc_auc, 1.0);
}

TEST(Metrics, NanIsSeen) {
  const std::vector<float> base = {1, 2, 3, 4};
  const std::vector<float> candidate = {1, kNan, 3, 9};
  const auto compared = CompareLogits(ProblemType::kMultiLabel, 2, base, candidate);
  EXPECT_TRUE(std::isnan(compared.mean_abs_difference));
  EXPECT_TRUE(std::isnan(compared.max_abs_difference));
  EXPECT_EQ(RocAuc(std::vector<double>{0, kNan}, std::vector<std::uint8_t>{0, 1}), std::nullopt);
}

TEST(Metrics, WrongShapesAreRefused) {
  const std::vector<float> logits = {1, 2, 3, 4};
  const std::vector<std::uint8_t> targets = {1, 0, 1};
  EXPECT_THROW(Decide(ProblemType::kMultiLabel, 0, logits), Error);
  EXPECT_THROW(Decide(ProblemType::kMultiLabel, 3, logits), Error);
  EXPECT_THROW(ComputeMetrics(ProblemType::kMultiLabel, 2, logits, targets), Error);
  EXPECT_THROW(ComputeMetrics(ProblemType::kMultiLabel, 2, {}, {}), Error);
  EXPECT_THROW(Percentile({}, 50), Error);
  EXPECT_THROW(Percentile(std::vector<double>{1}, 101), Error);
  EXPECT_THROW(SummarizeLatency({}, 1), Error);
}

}  // namespace
}  // namespace laconic
