#include "laconic/fit_head.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing.h"
#include "graph/graph.h"
#include "laconic/error.h"
#include "laconic/quantize.h"

namespace laconic {
namespace {
namespace fs = std::filesystem;

// Texts whose label is whether "ba" or "mu" is in them, in a file that is removed afterwards.
class FitHeadTest : public ::testing::Test {
 protected:
  fs::path WriteTexts(const std::string& name, int count, bool several) {
    std::ofstream file(root_ / name);
    for (int i = 0; i < count; ++i) {
      const bool ba = i % 2 == 0;
      const bool mu = several ? i % 3 == 0 : !ba;
      std::string text =
          "to " + std::string(1, static_cast<char>('a' + i % 26)) + (ba ? " ba" : "") + (mu ? " mu" : "");
      const std::string labels =
          several ? "[" + std::string(ba ? "\"ba\"" : "") + (ba && mu ? "," : "") + (mu ? "\"mu\"" : "") + "]"
                  : (ba ? "\"ba\"" : "\"mu\"");
      file << "{\"text\": \"" << text << "\", \"label\": " << labels << "}\n";
    }
    return root_ / name;
  }

  double AccuracyOf(const Model& model, const fs::path& path) {
    return Evaluate(model, ReadLabelledData(model, {path}), {.threads = 1}).metrics.accuracy;
  }

  const TemporaryDirectory directory_;
  const fs::path root_ = directory_.path();
  const Model bert_ = Model::Load("tests/data/tiny_bert");
};

TEST_F(FitHeadTest, LearnsLabelsFromFeatures) {
  for (const bool several : {false, true}) {
    const fs::path train = WriteTexts("train.jsonl", 300, several);
    FitHeadReport report;
    const Model fitted = FitHead(bert_, {train}, {}, {.run = {.threads = 1}}, &report);
    EXPECT_THAT(fitted.info().labels, ::testing::ElementsAre("ba", "mu"));
    EXPECT_EQ(fitted.info().problem, several ? ProblemType::kMultiLabel : ProblemType::kSingleLabel);
    EXPECT_EQ(report.num_train, 270);
    EXPECT_EQ(report.num_validation, 30);
    EXPECT_GE(AccuracyOf(fitted, train), 0.95) << "the words are in the text";
    FitHeadReport again;
    FitHead(bert_, {train}, {}, {.run = {.threads = 1}}, &again);
    EXPECT_EQ(report.trials.front().validation_loss, again.trials.front().validation_loss) << "the same seed";
  }
}

TEST_F(FitHeadTest, LabelsStayInTheirOrderAndAreBesideTheGraph) {
  const fs::path train = WriteTexts("train.jsonl", 40, /*several=*/true);
  FitHeadReport report;
  ModelInfo info = bert_.info();
  info.labels = {"mu", "ba"};
  const Model fitted = FitHead({info, bert_.shared_graph(), bert_.tokenizer()}, {train}, {}, {}, &report);
  EXPECT_EQ(fitted.info().labels, info.labels);
  fitted.Save(root_ / "saved");
  for (const fs::path& path : {root_ / "saved", root_ / "saved" / "model.onnx"}) {
    const Model loaded = Model::Load(path);
    EXPECT_EQ(loaded.info().labels, info.labels) << path;
    EXPECT_EQ(loaded.info().problem, ProblemType::kMultiLabel) << path;
  }
}

TEST_F(FitHeadTest, RefittingToItselfChangesNothing) {
  Dataset data;
  for (int i = 0; i < 400; ++i) {
    data.texts.push_back("ba mu " + std::to_string(i) + " to " + std::to_string(i * 7919 % 1000));
  }
  const RunOptions run = {.threads = 1};
  const auto logits = [&](const Model& model) {
    return ComputeOutputs(CompiledModel::Compile(model), EncodeTexts(model, data, run).encodings, run);
  };
  const auto difference = [&](const Model& model) {
    return CompareLogits(ProblemType::kSingleLabel, 3, logits(bert_), logits(model)).mean_abs_difference;
  };
  EXPECT_LE(difference(RefitHeadToTeacher(bert_, bert_, data, {.run = run})), 1e-5);
  const Model quantized = QuantizeModel(bert_);
  const Model refitted = RefitHeadToTeacher(quantized, bert_, data, {.run = run});
  EXPECT_LT(difference(refitted), difference(quantized)) << "on the texts that it was fitted on";
  EXPECT_EQ(refitted.info().method, "dynamic");
}

// Heads of every form that quantization gives them: one scale for all, zero points.
TEST_F(FitHeadTest, RefittingReadsTheOldHeadHoweverItIsStored) {
  Dataset data;
  for (int i = 0; i < 40; ++i) {
    data.texts.push_back("ba mu " + std::to_string(i * 7919 % 1000));
  }
  const RunOptions run = {.threads = 1};
  const auto logits = [&](const Model& model) {
    return ComputeOutputs(CompiledModel::Compile(model), EncodeTexts(model, data, run).encodings, run);
  };
  for (const CodeType dtype : {CodeType::kS8, CodeType::kU8}) {
    QConfig qconfig = PresetQConfig("laconic", {.is_static = false, .has_texts = false});
    qconfig.layers.weights.dtype = dtype;
    qconfig.layers.weights.granularity = Granularity::kTensor;
    const Model quantized = QuantizeModel(bert_, {.qconfig = qconfig});
    const Model refitted = RefitHeadToTeacher(quantized, quantized, data, {.run = run, .penalty = 1e6});
    // The head is rounded again: half a code, of 127 for the largest weight of all, in each of 32 weights at most.
    EXPECT_LE(CompareLogits(ProblemType::kSingleLabel, 3, logits(quantized), logits(refitted)).max_abs_difference, 0.1);
    const Tensor* codes = refitted.graph().FindInitializer(*refitted.graph().FindValue("classifier.weight_quantized"));
    EXPECT_EQ(codes->dtype(), dtype == CodeType::kS8 ? DType::kS8 : DType::kU8);
  }
}

// The recipe knows the head by its name.
TEST_F(FitHeadTest, RefittingKeepsWeightsThatCannotSaturateAndTheirName) {
  const std::string name = "classifier.out_proj";
  const Dataset data = {.texts = {"ba mu", "to ka", "mu to ba"}};
  const Model original = Model::Load("tests/data/tiny_roberta");
  Model model = QuantizeModel(original, {.reduced_range = {name}});
  for (int i = 0; i < 2; ++i) {
    model = RefitHeadToTeacher(model, original, data, {.run = {.threads = 1}});
    const auto weight = model.graph().FindValue(name + ".weight_quantized");
    ASSERT_TRUE(weight);
    const Tensor codes = model.graph().FindInitializer(*weight)->Contiguous();
    const auto [least, most] = std::ranges::minmax(codes.values<std::int8_t>());
    EXPECT_EQ(std::max(-least, +most), 64);  // ONNX Runtime's reduce_range
  }
}

TEST_F(FitHeadTest, RefusesWhatCannotBeFitted) {
  const fs::path train = WriteTexts("train.jsonl", 20, false);
  FitHeadReport report;
  EXPECT_THROW(FitHead(QuantizeModel(bert_), {train}, {}, {}, &report), Error);
  EXPECT_THROW(FitHead(bert_, {"-"}, {}, {.columns = {.format = DataFormat::kJson}}, &report), Error) << "two passes";
  EXPECT_THROW(RefitHeadToTeacher(bert_, Model::Load("tests/data/tiny_electra"), {}, {}), Error) << "other labels";
  const auto message = [&](bool several) {
    return ErrorOf([&] { FitHead(bert_, {WriteTexts("one.jsonl", 1, several)}, {}, {}, &report); });
  };
  EXPECT_THAT(message(false), ::testing::HasSubstr("expected texts of at least 2 labels, got only 'ba'"));
  EXPECT_THAT(message(true), ::testing::HasSubstr("at least 2 to hold some out, got 1"));
}

TEST(QuantizeModelTest, WhatIsMadeIsNoLongerWhatWasLoaded) {
  const Model made = QuantizeModel(Model::Load("tests/data/tiny_bert"));
  EXPECT_TRUE(made.info().path.empty());
  EXPECT_THAT(ErrorOf([&] { QuantizeModel(made); }), ::testing::HasSubstr("the model is already compressed (dynamic)"));
}

TEST(QuantizeModelTest, AnUnknownMethodListsTheKnownOnes) {
  const Model model = Model::Load("tests/data/tiny_bert");
  EXPECT_THAT(ErrorOf(ErrorCode::kInvalidArgument, [&] { QuantizeModel(model, {.method = "int3"}); }),
              ::testing::HasSubstr("dynamic, static, fp16, bf16"));
  EXPECT_THROW(QuantizeModel(QuantizeModel(model)), Error) << "twice";
  EXPECT_THROW(QuantizeModel(model, {.kinds = {"embedding"}, .include = {"classifier"}}), Error) << "selects nothing";
}

}  // namespace
}  // namespace laconic
