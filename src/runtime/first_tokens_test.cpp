// A classifier that reads first tokens: the last layer runs for them alone, and the answers are the same bits.

#include <cstring>
#include <random>

#include <gtest/gtest.h>

#include "kernels/isa.h"
#include "laconic/error.h"
#include "laconic/model.h"
#include "passes/layer_selection.h"
#include "passes/quantize/int8.h"
#include "passes/quantize/linear_groups.h"
#include "runtime/tap.h"

namespace laconic::runtime {
namespace {

enum class Precision : std::uint8_t { kFloat, kDynamic, kStatic };

Graph Load(const std::string& name, Precision precision) {
  const Graph graph = Model::Load("tests/data/" + name).graph();
  if (precision == Precision::kFloat) {
    return graph;
  }
  const std::vector<std::string> names = passes::SelectLayers(graph, {});
  const std::set<std::string> layers(names.begin(), names.end());
  passes::ActivationConfig activations;
  if (precision == Precision::kStatic) {
    activations.kind = passes::Activations::kStatic;
    for (const passes::LinearGroup& group : passes::GroupLinears(graph, layers)) {
      for (const ValueId input : group.inputs) {
        activations.ranges[graph.value(input).name] = quant::AffineParams(-1.7F, 2.1F, DType::kU8);
      }
    }
  }
  return passes::QuantizeInt8(graph, layers, activations);
}

std::vector<Encoding> RandomTexts(int count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Encoding> texts(static_cast<std::size_t>(count));
  for (Encoding& text : texts) {
    text.ids.resize(1 + random() % 90);
    for (std::int32_t& id : text.ids) {
      id = static_cast<std::int32_t>(random() % 100);
    }
  }
  return texts;
}

// What the first Gather of a token reads: the encoder's answer.
std::string LastHidden(const Graph& graph) {
  for (const Node& node : graph.nodes()) {
    if (node.op == "Gather" && IntAttribute(node, "axis") == 1) {
      return graph.value(node.inputs[0]).name;
    }
  }
  return "";
}

class Nobody final : public TapSink {
 public:
  void TakeRows(const TapRows& rows) noexcept override { are_tokens = rows.rows == Rows::kTokens; }
  bool are_tokens = false;
};

class FirstTokensTest : public ::testing::TestWithParam<std::tuple<const char*, Precision>> {};

TEST_P(FirstTokensTest, GiveTheSameAnswersAlone) {
  const auto [name, precision] = GetParam();
  const Graph graph = Load(name, precision);
  const std::vector<std::string> hidden = {LastHidden(graph)};
  Nobody nobody;
  const auto whole = CompileTapped(graph, hidden, &nobody);  // keeps all rows
  const auto alone = CompileTapped(graph, {}, nullptr);
  EXPECT_EQ(whole->PlanText().find("attention of first tokens"), std::string::npos);
  EXPECT_NE(alone->PlanText().find("attention of first tokens"), std::string::npos) << alone->PlanText();
  for (const int count : {1, 2, 23}) {
    const std::vector<Encoding> texts = RandomTexts(count, 5);
    const std::vector<float> expected = Session(whole, 1).Run(texts);
    EXPECT_TRUE(nobody.are_tokens);
    for (const int threads : {1, 2, 3}) {
      const std::vector<float> got = Session(alone, threads).Run(texts);
      ASSERT_EQ(got.size(), expected.size());
      EXPECT_EQ(std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)), 0)
          << count << " texts, " << threads << " threads";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, FirstTokensTest,
                         ::testing::Combine(::testing::Values("tiny_bert", "tiny_electra", "tiny_distilbert",
                                                              "tiny_roberta", "tiny_xlm_roberta", "tiny_albert"),
                                            ::testing::Values(Precision::kFloat, Precision::kDynamic,
                                                              Precision::kStatic)));

}  // namespace
}  // namespace laconic::runtime

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  try {
    laconic::kernels::ActiveIsa();
  } catch (const laconic::Error& error) {
    std::printf("skipped: %s\n", error.what());
    return 77;
  }
  return RUN_ALL_TESTS();
}
