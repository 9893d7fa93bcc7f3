// What a tap hands over: the rows that a graph cut at the value would give, each once.

#include "runtime/tap.h"

#include <cstring>
#include <mutex>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing.h"
#include "graph/extract.h"
#include "laconic/error.h"
#include "laconic/model.h"
#include "passes/layer_selection.h"
#include "passes/quantize/int8.h"
#include "runtime/testing.h"

namespace laconic::runtime {
namespace {

// Keeps all rows of a batch, [rows, width] by value.
class Gatherer final : public TapSink {
 public:
  explicit Gatherer(std::size_t num_values) : values(num_values), rows(num_values), widths(num_values) {}

  void BeginBatch(const TapBatch& batch) override {
    starts.assign(batch.starts.begin(), batch.starts.end());
    for (auto& value : values) {
      value.clear();
    }
  }
  void TakeRows(const TapRows& taken) noexcept override {
    const std::lock_guard lock(mutex_);
    auto& value = values[taken.value];
    rows[taken.value] = taken.rows;
    widths[taken.value] = taken.width;
    for (std::int64_t i = 0; i < taken.num_rows; ++i) {
      const float* row = taken.data + i * taken.stride;
      is_once = value.emplace(taken.first_row + i, std::vector(row, row + taken.width)).second && is_once;
    }
  }
  void EndBatch() override { ++num_batches; }

  std::vector<std::map<std::int64_t, std::vector<float>>> values;  // by value and row
  std::vector<Rows> rows;
  std::vector<std::int64_t> widths;
  std::vector<std::int64_t> starts;
  bool is_once = true;
  int num_batches = 0;

 private:
  std::mutex mutex_;
};

// The value of each text, from a graph that ends there; of a value of tokens, the mean over them, and the first.
std::vector<std::vector<float>> CutThere(const Graph& graph, const std::string& name,
                                         const std::vector<Encoding>& texts) {
  std::vector<std::vector<float>> results;
  const auto run = [&](const Graph& cut) { results.push_back(Session(CompileTapped(cut, {}, nullptr), 1).Run(texts)); };
  const Graph cut = Extract(graph, *graph.FindValue(name));
  if (cut.value(cut.outputs()[0]).type.shape.size() == 2) {
    run(cut);
    return results;
  }
  for (const bool mean : {true, false}) {
    Graph pooled;
    GraphCopier copy(cut, &pooled);
    for (const Node& node : cut.nodes()) {
      copy.CopyNode(node);
    }
    const ValueId value = copy(cut.outputs()[0]);
    const std::vector<std::int64_t> zero = {0};
    pooled.AddOutput(
        mean ? pooled.AddNode("laconic.MeanPool", "pool", {value, *pooled.FindValue("attention_mask")})
             : pooled.AddNode("Gather", "pool",
                              {value, pooled.AddInitializer("zero", Tensor::FromValues<std::int64_t>({}, zero))},
                              {{"axis", std::int64_t{1}}}));
    run(pooled);
  }
  return results;
}

std::vector<std::vector<float>> Reduced(const Gatherer& gatherer, std::size_t value) {
  std::vector<std::vector<float>> results(gatherer.rows[value] == Rows::kTexts ? 1 : 2);
  const auto width = static_cast<std::size_t>(gatherer.widths[value]);
  for (std::size_t text = 0; text + 1 < gatherer.starts.size(); ++text) {
    if (gatherer.rows[value] == Rows::kTexts) {
      const std::vector<float>& row = gatherer.values[value].at(static_cast<std::int64_t>(text));
      results[0].insert(results[0].end(), row.begin(), row.end());
      continue;
    }
    std::vector<float> mean(width);
    for (std::int64_t token = gatherer.starts[text]; token < gatherer.starts[text + 1]; ++token) {
      for (std::size_t i = 0; i < width; ++i) {
        mean[i] += gatherer.values[value].at(token)[i];
      }
    }
    for (float& element : mean) {
      element /= static_cast<float>(gatherer.starts[text + 1] - gatherer.starts[text]);
    }
    results[0].insert(results[0].end(), mean.begin(), mean.end());
    const std::vector<float>& first = gatherer.values[value].at(gatherer.starts[text]);
    results[1].insert(results[1].end(), first.begin(), first.end());
  }
  return results;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

Graph Load(const std::string& name, bool quantize) {
  const Model model = Model::Load("tests/data/" + name);
  const std::vector<std::string> names = passes::SelectLayers(model.graph(), {});
  return quantize ? passes::QuantizeInt8(model.graph(), {names.begin(), names.end()}) : model.graph();
}

class TapTest : public ::testing::TestWithParam<std::tuple<const char*, bool>> {};

// Bit for bit: a tap moves values, and what it keeps from being fused is the same arithmetic.
TEST_P(TapTest, HandsOverWhatAGraphCutThereGives) {
  const auto [name, quantize] = GetParam();
  const Graph graph = Load(name, quantize);
  const std::vector<std::string> values = TappableValues(graph);
  Gatherer gatherer(values.size());
  const auto tapped = CompileTapped(graph, values, &gatherer);
  const auto plain = CompileTapped(graph, {}, nullptr);
  int batches = 0;
  for (const int count : {1, 9}) {
    const std::vector<Encoding> texts = RandomTexts(count, 60, 100, 3);
    for (const int threads : {1, 3}) {
      EXPECT_TRUE(SameBits(Session(tapped, threads).Run(texts), Session(plain, 1).Run(texts)));
      EXPECT_TRUE(gatherer.is_once);
      EXPECT_EQ(gatherer.num_batches, ++batches);
      for (std::size_t i = 0; i < values.size(); ++i) {
        const auto num_rows = static_cast<std::int64_t>(gatherer.values[i].size());
        EXPECT_EQ(num_rows, gatherer.rows[i] == Rows::kTexts ? count : gatherer.starts.back()) << values[i];
        const std::vector<std::vector<float>> expected = CutThere(graph, values[i], texts);
        const std::vector<std::vector<float>> got = Reduced(gatherer, i);
        ASSERT_EQ(got.size(), expected.size()) << values[i];
        for (std::size_t r = 0; r < got.size(); ++r) {
          EXPECT_TRUE(SameBits(got[r], expected[r])) << values[i] << ", " << threads << " threads";
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, TapTest,
                         ::testing::Combine(::testing::Values("tiny_bert", "tiny_electra", "tiny_distilbert"),
                                            ::testing::Bool()));

TEST(TapTest, KeepsFusionsThatNobodyLooksInside) {
  const Graph graph = Load("tiny_bert", false);
  Gatherer gatherer(1);
  const std::vector<std::string> values = {"bert.encoder.layer.1.attention.self.attention"};
  const std::string plan = CompileTapped(graph, values, &gatherer, {.isa = "scalar"})->PlanText();
  EXPECT_NE(plan.find("linear f32 32 x 96 bert.encoder.layer.1.attention.self.query"), std::string::npos) << plan;
  EXPECT_NE(plan.find("tap bert.encoder.layer.1.attention.self.attention\n"), std::string::npos) << plan;
}

// The model's own graph with one op more, for which there is no plan: the same rows as from the kernels.
TEST(TapTest, HandsOverWhatRunsOpByOp) {
  const Graph graph = Load("tiny_bert", false);
  Graph general;
  GraphCopier copy(graph, &general);
  for (const Node& node : graph.nodes()) {
    copy.CopyNode(node);
  }
  general.AddOutput(general.AddNode("Identity", "same", {copy(graph.outputs()[0])}));
  std::vector<std::string> values = TappableValues(general);
  EXPECT_EQ(values.back(), "same");
  values.pop_back();
  EXPECT_EQ(values, TappableValues(graph));
  Gatherer expected(values.size());
  Gatherer got(values.size());
  const auto plain = CompileTapped(general, values, &got);
  EXPECT_NE(plain->PlanText().find("op by op"), std::string::npos);
  const std::vector<Encoding> texts = RandomTexts(5, 60, 100, 4);
  Session(CompileTapped(graph, values, &expected), 1).Run(texts);
  const std::vector<float> answers = Session(CompileTapped(general, {}, nullptr), 1).Run(texts);
  for (const int threads : {1, 3}) {
    EXPECT_TRUE(SameBits(Session(plain, threads).Run(texts), answers));
    EXPECT_TRUE(got.is_once);
    EXPECT_EQ(got.num_batches, threads == 1 ? 1 : 2);
    EXPECT_EQ(got.starts, expected.starts);
    EXPECT_EQ(got.rows, expected.rows);
    for (std::size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(got.values[i].size(), expected.values[i].size()) << values[i];
      for (const auto& [row, wanted] : expected.values[i]) {
        ASSERT_EQ(got.values[i].at(row).size(), wanted.size()) << values[i];
        for (std::size_t k = 0; k < wanted.size(); ++k) {
          // As the answers (plain_model_test): sums in another order, amplified by random layers.
          EXPECT_NEAR(got.values[i].at(row)[k], wanted[k], 5e-5) << values[i] << ", row " << row;
        }
      }
    }
  }
  EXPECT_TRUE(Session(plain, 1).Run({}).empty());
}

TEST(TapTest, RefusesWhatHasNoRows) {
  const Graph graph = Load("tiny_bert", true);
  for (const std::string name : {"nobody", "input_ids", "bert.pooler.dense.weight", "bert.pooler.dense.bias"}) {
    Gatherer gatherer(1);
    const std::vector<std::string> values = {name};
    EXPECT_THAT(ErrorOf(ErrorCode::kInvalidArgument, [&] { CompileTapped(graph, values, &gatherer); }),
                ::testing::HasSubstr("'" + name + "'"));
  }
}

}  // namespace
}  // namespace laconic::runtime
