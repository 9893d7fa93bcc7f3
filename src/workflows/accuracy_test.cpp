// What each method costs three real classifiers on their whole test sets; the default is held to the project's limits.
// The float baselines are those of transformers, the limits those of the per-token simulation and of the best peer;
// bf16's are about twice what it costs; with
// calibration they are the project's targets.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/isa.h"
#include "laconic/compare.h"
#include "laconic/quantize.h"
#include "laconic/static_quantization.h"

namespace laconic {
namespace {
namespace fs = std::filesystem;

struct Limits {
  std::int64_t changed;
  double mean_difference;
};

struct Case {
  const char* model;
  std::vector<fs::path> data;
  std::vector<fs::path> train;  // texts to calibrate with
  std::int64_t max_length;
  std::int64_t predictions;
  // Of the float model, as rounded here; an accuracy or F1 that is not known is 0.
  double accuracy;
  double micro_f1;
  double macro_f1;
  Limits dynamic;
  Limits bf16;
  Limits calibrated_dynamic;  // with 256 texts, by default settings
  Limits calibrated_static;
};

std::ostream& operator<<(std::ostream& out, const Case& test) { return out << test.model; }

std::vector<fs::path> NluppTraining() {
  std::vector<fs::path> folds;
  for (int fold = 0; fold < 16; ++fold) {
    folds.push_back("nlupp/banking/fold" + std::to_string(fold) + ".json");
  }
  return folds;
}

std::vector<Case> Cases() {
  return {
      {.model = "minilm_sst2",
       .data = {"sst2/test.jsonl"},
       .train = {"sst2/train.jsonl"},
       .max_length = 96,
       .predictions = 1821,
       .accuracy = 0.8924,
       .dynamic = {15, 0.020},
       .bf16 = {3, 0.003},
       .calibrated_dynamic = {15, 0.012},
       .calibrated_static = {16, 0.025}},
      {.model = "minilm_nlupp",
       .data = {"nlupp/banking/fold18.json", "nlupp/banking/fold19.json"},
       .train = NluppTraining(),
       .max_length = 64,
       .predictions = 9792,
       .micro_f1 = 0.8894,
       .macro_f1 = 0.8800,
       .dynamic = {4, 0.056},
       .bf16 = {3, 0.008},
       .calibrated_dynamic = {8, 0.036},
       .calibrated_static = {12, 0.065}},
      {.model = "me5_bn5",
       .data = {"bn_cyberbully5/test.csv"},
       .train = {"bn_cyberbully5/train.csv"},
       .max_length = 96,
       .predictions = 7835,
       .micro_f1 = 0.8196,
       .macro_f1 = 0.7707,
       .dynamic = {15, 0.028},
       .bf16 = {3, 0.005},
       .calibrated_dynamic = {15, 0.022},
       .calibrated_static = {22, 0.036}},
  };
}

class AccuracyTest : public ::testing::TestWithParam<Case> {};

// 256 texts, spread evenly over the training set.
Model CalibrateOn(const LabelledData& train, const Model& model, const char* method, std::int64_t max_length) {
  constexpr std::size_t kTexts = 256;
  std::size_t next = 0;
  PreparedModel prepared = Prepare(model, {.method = method});
  const auto read = [&]() -> std::optional<DatasetRow> {
    const std::size_t at = next++ * train.data.texts.size() / kTexts;
    return next > kTexts ? std::nullopt : std::optional(DatasetRow{.text = train.data.texts[at]});
  };
  EXPECT_EQ(Calibrate(&prepared, read, {.max_length = max_length}), kTexts);
  return Convert(prepared);
}

void ExpectWithin(const Limits& limits, const LogitComparison& change) {
  EXPECT_LE(change.predictions_changed, limits.changed);
  EXPECT_LE(change.mean_abs_difference, limits.mean_difference);
  EXPECT_GT(change.mean_abs_difference, 0);
}

TEST_P(AccuracyTest, StaysWithinItsLimits) {
  const Case& test = GetParam();
  const fs::path shared = "../shared";
  if (!fs::exists(shared)) {
    GTEST_SKIP() << "no " << shared;
  }
  const Model model = Model::Load(shared / "models" / test.model);
  std::vector<fs::path> files;
  for (const fs::path& file : test.data) {
    files.push_back(shared / "data" / file);
  }
  const LabelledData data = ReadLabelledData(model, files);
  std::vector<Model> models = {model};
  for (const char* method : {"dynamic", "fp16", "bf16"}) {
    models.push_back(QuantizeModel(model, {.method = method}));
  }
  std::vector<fs::path> train_files;
  std::ranges::transform(test.train, std::back_inserter(train_files),
                         [&](const fs::path& file) { return shared / "data" / file; });
  const LabelledData train = ReadLabelledData(model, train_files);
  for (const char* method : {"dynamic", "static"}) {
    models.push_back(CalibrateOn(train, model, method, test.max_length));
  }
  const Comparison comparison = CompareModels(models, data, {.batch = 32, .max_length = test.max_length});
  for (const ComparedModel& row : comparison.models) {
    std::printf("%s %s (%s): accuracy %.4f, F1 %.4f / %.4f, %ld of %ld changed, mean |d| %.5f, max %.4f\n", test.model,
                row.method.c_str(), comparison.isa.c_str(), row.metrics.accuracy, row.metrics.micro_f1,
                row.metrics.macro_f1, row.change.predictions_changed, row.change.predictions_total,
                row.change.mean_abs_difference, row.change.max_abs_difference);
  }

  constexpr double kRounding = 5e-5;
  const ClassificationMetrics& metrics = comparison.models[0].metrics;
  if (test.accuracy > 0) {
    EXPECT_NEAR(metrics.accuracy, test.accuracy, kRounding);
  } else {
    EXPECT_NEAR(metrics.micro_f1, test.micro_f1, kRounding);
    EXPECT_NEAR(metrics.macro_f1, test.macro_f1, kRounding);
  }
  const LogitComparison& dynamic = comparison.models[1].change;
  EXPECT_EQ(dynamic.predictions_total, test.predictions);
  ExpectWithin(test.dynamic, dynamic);
  EXPECT_EQ(comparison.models[2].change.max_abs_difference, 0) << "these models are stored as f16";
  ExpectWithin(test.bf16, comparison.models[3].change);
  ExpectWithin(test.calibrated_dynamic, comparison.models[4].change);
  ExpectWithin(test.calibrated_static, comparison.models[5].change);
}

INSTANTIATE_TEST_SUITE_P(FineTuned, AccuracyTest, ::testing::ValuesIn(Cases()),
                         [](const auto& test) { return std::string(test.param.model); });

}  // namespace
}  // namespace laconic
