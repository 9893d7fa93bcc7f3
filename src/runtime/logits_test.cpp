// Logits against transformers: golden files name the script, versions and command that made them. Each level of the
// kernels is held to the same bound.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "kernels/isa.h"
#include "laconic/dataset.h"
#include "laconic/model.h"
#include "laconic/session.h"

namespace laconic {
namespace {
namespace fs = std::filesystem;

// The project's promise. f32 sums of up to 1,536 terms in another order differ by about 1e-5 of the logits' size.
constexpr float kLargestDifference = 1e-4F;

struct Example {
  std::string text;
  std::optional<std::string> second_text;
  std::size_t num_tokens = 0;
  std::vector<float> logits;
};

std::size_t Argmax(const std::vector<float>& values) {
  return static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

void ExpectLogits(const fs::path& directory, const std::vector<Example>& examples, std::int64_t max_length) {
  const Model model = Model::Load(directory);
  const auto compiled = CompiledModel::Compile(model);
  Session session(compiled, 2);
  const auto width = static_cast<std::size_t>(compiled->output_width());
  std::vector<Encoding> batch;
  for (const Example& example : examples) {
    const Tokenizer& tokenizer = model.tokenizer();
    batch.push_back(example.second_text ? tokenizer.EncodePair(example.text, *example.second_text, max_length)
                                        : tokenizer.Encode(example.text, max_length));
    ASSERT_EQ(batch.back().ids.size(), example.num_tokens) << example.text;
  }
  const std::vector<float> logits = session.Run(batch);
  float largest = 0;
  double sum_of_squares = 0;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const std::vector<float> got(logits.begin() + static_cast<std::ptrdiff_t>(i * width),
                                 logits.begin() + static_cast<std::ptrdiff_t>((i + 1) * width));
    ASSERT_EQ(got.size(), examples[i].logits.size());
    EXPECT_EQ(Argmax(got), Argmax(examples[i].logits)) << examples[i].text;
    for (std::size_t label = 0; label < width; ++label) {
      EXPECT_EQ(got[label] > 0, examples[i].logits[label] > 0) << examples[i].text;
      largest = std::max(largest, std::fabs(got[label] - examples[i].logits[label]));
      sum_of_squares += examples[i].logits[label] * examples[i].logits[label];
    }
  }
  EXPECT_LE(largest, kLargestDifference);
  EXPECT_GE(std::sqrt(sum_of_squares / static_cast<double>(logits.size())), 1.0) << "logits too small to tell";
  std::printf("%s: %zu texts, largest difference %.2e\n", directory.c_str(), examples.size(), largest);
}

// The texts that make_random_checkpoints.py wrote beside its checkpoints.
void ExpectGoldenLogits(const fs::path& directory, const fs::path& golden_file) {
  const nlohmann::json golden = ReadJsonFile(golden_file);
  std::vector<Example> examples;
  for (const nlohmann::json& row : golden["examples"]) {
    std::optional<std::string> second_text;
    if (row.contains("pair")) {
      second_text = row["pair"].get<std::string>();
    }
    examples.push_back({row["text"], second_text, row["input_ids"].size(), row["logits"]});
  }
  ASSERT_GE(examples.size(), 200U);
  ExpectLogits(directory, examples, golden["max_length"]);
}

class TinyModelTest : public ::testing::TestWithParam<const char*> {};

TEST_P(TinyModelTest, EqualsTransformers) {
  const fs::path directory = fs::path("tests/data") / GetParam();
  ExpectGoldenLogits(directory, directory / "expected_logits.json");
}

INSTANTIATE_TEST_SUITE_P(EveryTensorRandom, TinyModelTest,
                         ::testing::Values("tiny_bert", "tiny_electra", "tiny_distilbert", "tiny_roberta",
                                           "tiny_xlm_roberta", "tiny_albert"));

// Larger ones in every form of storage: LACONIC_RANDOM_CHECKPOINTS names what
// `tools/models/make_random_checkpoints.py --size small` wrote.
class CheckpointFormsTest : public ::testing::TestWithParam<const char*> {};

TEST_P(CheckpointFormsTest, EqualTransformers) {
  const char* root = std::getenv("LACONIC_RANDOM_CHECKPOINTS");
  if (root == nullptr) {
    GTEST_SKIP() << "LACONIC_RANDOM_CHECKPOINTS names no directory";
  }
  const fs::path architecture = fs::path(root) / GetParam();
  for (const char* form : {"safetensors", "sharded", "f16", "bf16", "bin"}) {
    SCOPED_TRACE(form);
    ExpectGoldenLogits(architecture / form, architecture / "expected_logits.json");
  }
}

INSTANTIATE_TEST_SUITE_P(EveryTensorRandom, CheckpointFormsTest,
                         ::testing::Values("bert", "electra", "distilbert", "roberta", "xlm-roberta", "albert"));

class RealModelTest : public ::testing::TestWithParam<const char*> {};

TEST_P(RealModelTest, EqualsTransformers) {
  const fs::path directory = fs::path("../shared/models") / GetParam();
  if (!fs::exists(directory)) {
    GTEST_SKIP() << "no " << directory;
  }
  if (kernels::ActiveIsa() == kernels::Isa::kScalar) {
    GTEST_SKIP() << "minutes on the scalar level, which the tiny models cover";
  }
  const nlohmann::json golden = ReadJsonFile(fs::path("tests/golden") / (std::string(GetParam()) + ".json"));
  std::vector<Dataset> files;
  for (const nlohmann::json& path : golden["files"]) {
    files.push_back(ReadDataset({path.get<std::string>()}, {.read_labels = false}));
  }
  std::vector<Example> examples;
  for (const nlohmann::json& row : golden["examples"]) {
    const std::string& text = files[row["file"].get<std::size_t>()].texts[row["row"].get<std::size_t>()];
    examples.push_back({text, std::nullopt, row["num_tokens"], row["logits"]});
  }
  ASSERT_GE(examples.size(), 200U);
  ExpectLogits(directory, examples, golden["max_length"]);
}

INSTANTIATE_TEST_SUITE_P(FineTuned, RealModelTest, ::testing::Values("minilm_sst2", "minilm_nlupp", "me5_bn5"));

}  // namespace
}  // namespace laconic
