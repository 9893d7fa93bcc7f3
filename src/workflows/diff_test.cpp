// diff names what was made to differ. Its figures against ONNX Runtime's tensors: tests/diff_test.py.

#include "laconic/diff.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "graph/graph.h"
#include "laconic/error.h"
#include "laconic/quantize.h"

namespace laconic {
namespace {

NextRowFn Texts(int count) {
  return [count, i = 0]() mutable -> std::optional<DatasetRow> {
    static constexpr const char* kTexts[] = {"du to lifa", "ra manedafi, gomu!", "", "tifa", "lifa du gomu ra ra tifa"};
    return i == count ? std::nullopt : std::optional(DatasetRow{kTexts[i++ % 5], std::nullopt, {}});
  };
}

// The model with `edit` applied to the values of one f32 tensor.
template <typename Edit>
Model Edited(const Model& model, const std::string& tensor, Edit edit) {
  const Graph& graph = model.graph();
  Graph edited;
  GraphCopier copy(graph, &edited);
  const ValueId old = graph.FindValue(tensor).value();
  const Tensor values = graph.FindInitializer(old)->Contiguous();
  std::vector<float> changed(values.values<float>().begin(), values.values<float>().end());
  edit(changed);
  copy.Map(old, edited.AddInitializer(tensor, Tensor::FromValues<float>(values.shape(), changed)));
  for (const Node& node : graph.nodes()) {
    copy.CopyNode(node);
  }
  copy.CopyOutputs();
  return {model.info(), std::make_shared<const Graph>(std::move(edited)), model.tokenizer()};
}

const TensorDiff& Find(const ModelDiff& diff, const std::string& name) {
  const auto found = std::ranges::find(diff.tensors, name, &TensorDiff::name);
  EXPECT_NE(found, diff.tensors.end()) << name;
  return *found;
}

TEST(DiffTest, EqualModelsAreEqual) {
  const Model model = QuantizeModel(Model::Load("tests/data/tiny_bert"));
  const ModelDiff diff = DiffModels(model, model, Texts(12), {.run = {.batch = 5}});
  EXPECT_EQ(diff.num_texts, 12);
  EXPECT_GT(diff.tensors.size(), 30U);
  EXPECT_FALSE(diff.first || diff.worst);
  for (const TensorDiff& tensor : diff.tensors) {
    EXPECT_EQ(tensor.num_rows,
              tensor.name.starts_with("bert.pooler") || tensor.name == "logits" ? 12 : diff.num_tokens);
    EXPECT_EQ(tensor.max_abs, 0) << tensor.name;
    EXPECT_EQ(tensor.relative, 0) << tensor.name;
    EXPECT_EQ(tensor.signal_to_noise, std::numeric_limits<double>::infinity());
    EXPECT_FALSE(tensor.first);
  }
  EXPECT_EQ(diff.codes.size(), 10U);
  for (const CodeDiff& codes : diff.codes) {
    EXPECT_GT(codes.num_codes, 0);
    EXPECT_TRUE(codes.ties_a && codes.ties_a == codes.ties_b);
    EXPECT_EQ(codes.one_apart, 0) << codes.layer;
    EXPECT_EQ(codes.more_apart, 0) << codes.layer;
  }
  EXPECT_TRUE(diff.only_a.empty() && diff.only_b.empty() && diff.unlike.empty() && diff.has_outputs);
}

TEST(DiffTest, NamesTheLayerWhoseWeightWasTouched) {
  const Model model = Model::Load("tests/data/tiny_bert");
  const std::string layer = "bert.encoder.layer.1.intermediate.dense";
  const Model touched = Edited(model, layer + ".weight", [](std::vector<float>& values) { values[7] += 0.25F; });
  const ModelDiff diff = DiffModels(model, touched, Texts(5), {.threshold = 1e-4, .run = {.threads = 2}});
  ASSERT_TRUE(diff.first && diff.worst);
  EXPECT_EQ(diff.tensors[*diff.first].name, layer);
  EXPECT_EQ(diff.tensors[*diff.first].op, "laconic.Linear");
  EXPECT_EQ(diff.tensors[*diff.first].worst_column, 7) << "weights lie as [in, out]";
  for (std::size_t i = 0; i < *diff.first; ++i) {
    EXPECT_EQ(diff.tensors[i].max_abs, 0) << diff.tensors[i].name;
  }
  EXPECT_GE(diff.tensors[*diff.worst].relative, diff.tensors[*diff.first].relative);
}

// The value of one token's embedding: the text and the token that hold it first are named.
TEST(DiffTest, NamesTheFirstRow) {
  const Model model = Model::Load("tests/data/tiny_bert");
  const std::int32_t id = model.tokenizer().Encode("tifa", 128).ids[1];
  const Model touched = Edited(model, "bert.embeddings.word_embeddings.weight",
                               [&](std::vector<float>& values) { values[static_cast<std::size_t>(id) * 32] += 1; });
  const ModelDiff diff = DiffModels(model, touched, Texts(10), {.threshold = 1e-3, .run = {.batch = 2}});
  const TensorDiff& embedding = Find(diff, "bert.embeddings.word_embeddings");
  ASSERT_TRUE(embedding.first);
  EXPECT_EQ(*embedding.first, (ValuePlace{4, 1}));
  EXPECT_EQ(Find(diff, "logits").first, (ValuePlace{4, -1}));
  EXPECT_EQ(embedding.worst, *embedding.first);
  EXPECT_EQ(embedding.worst_column, 0);
  EXPECT_NEAR(embedding.worst_b - embedding.worst_a, 1, 1e-6);
}

TEST(DiffTest, CountsCodesThatDiffer) {
  const Model model = Model::Load("tests/data/tiny_bert");
  const Model touched = Edited(model, "bert.encoder.layer.0.attention.self.value.bias",
                               [](std::vector<float>& values) { values[3] += 0.01F; });
  const ModelDiff diff = DiffModels(QuantizeModel(model), QuantizeModel(touched), Texts(5));
  std::vector<std::string> differing;
  for (const CodeDiff& codes : diff.codes) {
    if (*codes.one_apart + *codes.more_apart > 0) {
      differing.push_back(codes.layer);
    }
  }
  ASSERT_FALSE(differing.empty());
  EXPECT_EQ(differing[0], "bert.encoder.layer.0.attention.output.dense") << "the first that reads what was touched";
}

TEST(DiffTest, FloatAndInt8PairByName) {
  const Model model = Model::Load("tests/data/tiny_bert");
  const ModelDiff diff = DiffModels(model, QuantizeModel(model), Texts(5));
  EXPECT_TRUE(diff.only_a.empty());
  EXPECT_EQ(diff.only_b.size(), diff.codes.size()) << "the rounded inputs";
  for (const CodeDiff& codes : diff.codes) {
    EXPECT_FALSE(codes.ties_a || codes.one_apart || codes.more_apart);
    EXPECT_TRUE(codes.ties_b);
  }
  const ModelDiff others = DiffModels(model, Model::Load("tests/data/tiny_electra"), Texts(5));
  EXPECT_EQ(others.unlike.size(), 1U) << "the outputs alone, of 3 labels and of 2";
  EXPECT_TRUE(others.tensors.empty() && !others.has_outputs);
  EXPECT_GT(others.only_a.size(), 30U);
}

TEST(DiffTest, WhatIsNotFiniteCounts) {
  const Model model = Model::Load("tests/data/tiny_bert");
  const Model touched = Edited(model, "classifier.bias", [](std::vector<float>& values) { values[1] = std::nanf(""); });
  const ModelDiff diff = DiffModels(model, touched, Texts(5));
  EXPECT_EQ(Find(diff, "logits").not_finite, 5);
  EXPECT_EQ(Find(diff, "logits").relative, std::numeric_limits<double>::infinity());
  EXPECT_EQ(diff.tensors[diff.first.value()].name, "logits");
  EXPECT_EQ(DiffModels(touched, touched, Texts(5)).tensors.back().relative, 0) << "NaN in both is no difference";
}

TEST(DiffTest, NeedsATokenizerAndTexts) {
  const Model model = Model::Load("tests/data/tiny_bert");
  const Model bare(ModelInfo(), model.shared_graph(), std::nullopt);
  EXPECT_THROW(DiffModels(bare, bare, Texts(5)), Error);
  EXPECT_FALSE(DiffModels(bare, model, Texts(5)).worst);
  EXPECT_THROW(DiffModels(model, model, Texts(0)), Error);
}

}  // namespace
}  // namespace laconic
