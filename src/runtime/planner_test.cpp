// What the planner moves and fuses: the answers are the same bits as without.

#include <cstring>
#include <regex>

#include <gtest/gtest.h>

#include "kernels/isa.h"
#include "laconic/model.h"
#include "passes/layer_selection.h"
#include "passes/precision/half.h"
#include "passes/quantize/int8.h"
#include "passes/quantize/linear_groups.h"
#include "runtime/tap.h"
#include "runtime/testing.h"

namespace laconic::runtime {
namespace {

enum class Precision : std::uint8_t { kFloat, kBFloat16, kDynamic, kInt8Attention, kStatic, kSmoothedStatic };

CompileOptions OptionsOf(Precision precision) {
  return {.precision = precision == Precision::kBFloat16 ? "bf16" : "f32"};
}

bool HasBFloat16() { return kernels::ActiveIsa() >= kernels::Isa::kAvx512BF16; }

Graph Load(const std::string& name, Precision precision) {
  const Graph graph = Model::Load("tests/data/" + name).graph();
  if (precision == Precision::kFloat || precision == Precision::kBFloat16) {
    return graph;
  }
  const std::vector<std::string> names = passes::SelectLayers(graph, {});
  const std::set<std::string> layers(names.begin(), names.end());
  if (precision == Precision::kDynamic || precision == Precision::kInt8Attention) {
    passes::Int8Options options;
    options.qconfig.int8_attention = precision == Precision::kInt8Attention;
    return passes::QuantizeInt8(graph, layers, options);
  }
  passes::CalibratedRounding rounding;
  passes::Int8Options options = {.qconfig = PresetQConfig("laconic"), .is_static = true, .rounding = &rounding};
  for (const passes::LinearGroup& group : passes::GroupLinears(graph, layers)) {
    for (const ValueId input : group.inputs) {
      options.ranges[graph.value(input).name] = quant::DynamicParams(-1.7F, 2.1F);
      if (precision == Precision::kSmoothedStatic) {
        const std::vector<float> factors(static_cast<std::size_t>(group.width), 0.8F);
        rounding.inv_smooth[input] = Tensor::FromValues<float>({group.width}, factors);
      }
    }
  }
  return passes::QuantizeInt8(graph, layers, options);
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

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Texts alone and in batches, with several numbers of threads.
void ExpectSameAnswers(const std::shared_ptr<const CompiledModel>& plain,
                       const std::shared_ptr<const CompiledModel>& model) {
  for (const int count : {1, 2, 9}) {
    const std::vector<Encoding> texts = RandomTexts(count, 90, 100, 5);
    const std::vector<float> expected = Session(plain, 1).Run(texts);
    for (const int threads : {1, 2, 3}) {
      EXPECT_TRUE(SameBits(Session(model, threads).Run(texts), expected))
          << count << " texts, " << threads << " threads";
    }
  }
}

class PlannerTest : public ::testing::TestWithParam<std::tuple<const char*, Precision>> {
 protected:
  void SetUp() override {
    if (std::get<Precision>(GetParam()) == Precision::kBFloat16 && !HasBFloat16()) {
      GTEST_SKIP() << "no bfloat16 at level " << kernels::ToString(kernels::ActiveIsa());
    }
  }
};

TEST_P(PlannerTest, FirstTokensGiveTheSameAnswersAlone) {
  const auto [name, precision] = GetParam();
  const Graph graph = Load(name, precision);
  const std::vector<std::string> hidden = {LastHidden(graph)};
  Nobody nobody;
  const auto whole = CompileTapped(graph, hidden, &nobody, OptionsOf(precision));  // keeps all rows
  const auto alone = CompileTapped(graph, {}, nullptr, OptionsOf(precision));
  EXPECT_EQ(whole->PlanText().find("of first tokens"), std::string::npos);
  EXPECT_NE(alone->PlanText().find("of first tokens"), std::string::npos) << alone->PlanText();
  ExpectSameAnswers(whole, alone);
  EXPECT_TRUE(nobody.are_tokens);
}

// A tap on every value keeps activations, sums and quantizers apart from the layers before them.
TEST_P(PlannerTest, FusedStepsGiveTheSameAnswers) {
  const auto [name, precision] = GetParam();
  const Graph graph = Load(name, precision);
  Nobody nobody;
  const auto apart = CompileTapped(graph, TappableValues(graph), &nobody, OptionsOf(precision));
  const auto fused = CompileTapped(graph, {}, nullptr, OptionsOf(precision));
  ExpectSameAnswers(apart, fused);
  const std::string plan = fused->PlanText();
  const auto has = [&](const char* pattern) { return std::regex_search(plan, std::regex(pattern)); };
  EXPECT_EQ(has("gelu( .tanh.)? \\+ quantize by"), precision == Precision::kStatic) << plan;
  EXPECT_EQ(has("gelu( .tanh.)? \\+ round"), precision == Precision::kBFloat16) << plan;
  EXPECT_EQ(has("gelu.* \\+ scale \\+ quantize by"), precision == Precision::kSmoothedStatic) << plan;
  EXPECT_EQ(apart->PlanText().find("gelu + "), std::string::npos) << apart->PlanText();
}

// Queries by integers or in half precision beside keys and values in f32: no GEMM can have both.
TEST(PartlyQuantizedTest, FusedStepsGiveTheSameAnswers) {
  const Graph graph = Model::Load("tests/data/tiny_bert").graph();
  const std::vector<std::string> names = passes::SelectLayers(graph, {.include = {"*query*"}});
  const std::set<std::string> queries(names.begin(), names.end());
  for (const Graph& mixed :
       {passes::QuantizeInt8(graph, queries), passes::StoreWeightsHalf(graph, queries, DType::kF16, {})}) {
    Nobody nobody;
    ExpectSameAnswers(CompileTapped(mixed, TappableValues(mixed), &nobody), CompileTapped(mixed, {}, nullptr));
  }
}

// The whole plan, as `laconic inspect --plan` prints it.
void ExpectPlan(Precision precision, const std::string& expected) {
  const auto model = CompileTapped(Load("tiny_bert", precision), {}, nullptr, {.isa = "scalar"});
  EXPECT_EQ(model->PlanText(), expected);
}

TEST(PlanTextTest, OfTinyBertInFloat) {
  ExpectPlan(Precision::kFloat, R"(for each chunk of tokens
  embed bert.embeddings.word_embeddings.weight f32 + bert.embeddings.token_type_embeddings.weight f32 + bert.embeddings.position_embeddings.weight f32 [scalar]
  layer norm bert.embeddings.LayerNorm [scalar]
  linear f32 32 x 96 bert.encoder.layer.0.attention.self.query + key + value [scalar]
for each task
  attention 4 heads of 8 bert.encoder.layer.0.attention.self.attention [scalar]
for each chunk of tokens
  linear f32 32 x 32 bert.encoder.layer.0.attention.output.dense [scalar]
  add + layer norm bert.encoder.layer.0.attention.output.LayerNorm [scalar]
  linear f32 32 x 64 + gelu bert.encoder.layer.0.intermediate.dense [scalar]
  linear f32 64 x 32 bert.encoder.layer.0.output.dense [scalar]
  add + layer norm bert.encoder.layer.0.output.LayerNorm [scalar]
  linear f32 32 x 64 bert.encoder.layer.1.attention.self.key + value [scalar]
for each chunk of texts
  first token of each text
  linear f32 32 x 32 bert.encoder.layer.1.attention.self.query [scalar]
for each task
  attention of first tokens, 4 heads of 8 bert.encoder.layer.1.attention.self.attention [scalar]
for each chunk of texts
  linear f32 32 x 32 bert.encoder.layer.1.attention.output.dense [scalar]
  add + layer norm bert.encoder.layer.1.attention.output.LayerNorm [scalar]
  linear f32 32 x 64 + gelu bert.encoder.layer.1.intermediate.dense [scalar]
  linear f32 64 x 32 bert.encoder.layer.1.output.dense [scalar]
  add + layer norm bert.encoder.layer.1.output.LayerNorm [scalar]
  linear f32 32 x 32 + tanh bert.pooler.dense [scalar]
  linear f32 32 x 3 logits [scalar]
buffers
  each token: 128 + 384 + 128 + 256 bytes
  each token of a thread's chunk: 128 + 128 + 256 bytes
  each text: 128 + 128 + 128 bytes
  each text of a thread's chunk: 128 + 128 + 256 bytes
)");
}

// Attention and all layers but the last; a layer that another alone reads writes what that one reads.
TEST(PlanTextTest, OfTinyBertInBFloat16) {
  if (!HasBFloat16()) {
    GTEST_SKIP() << "no bfloat16 at level " << kernels::ToString(kernels::ActiveIsa());
  }
  const std::string plan =
      CompileTapped(Load("tiny_bert", Precision::kFloat), {}, nullptr, {.isa = "avx512_bf16", .precision = "bf16"})
          ->PlanText();
  const std::string layer =
      "for each task\n"
      "  attention bf16 4 heads of 8 bert.encoder.layer.0.attention.self.attention [avx512_bf16]\n"
      "for each chunk of tokens\n"
      "  round 32 columns to bf16 [avx512_bf16]\n"
      "  linear bf16 32 x 32 bert.encoder.layer.0.attention.output.dense [avx512_bf16]\n"
      "  add + layer norm bert.encoder.layer.0.attention.output.LayerNorm [avx512_vnni]\n"
      "  round 32 columns to bf16 [avx512_bf16]\n"
      "  linear bf16 32 x 64 + gelu + round bert.encoder.layer.0.intermediate.dense [avx512_bf16]\n"
      "  linear bf16 64 x 32 bert.encoder.layer.0.output.dense [avx512_bf16]\n";
  EXPECT_NE(plan.find(layer), std::string::npos) << plan;
  EXPECT_NE(plan.find("  linear bf16 32 x 32 + tanh bert.pooler.dense [avx512_bf16]\n"
                      "  linear f32 32 x 3 logits [avx512_vnni]\n"),
            std::string::npos)
      << plan;
}

TEST(PlanTextTest, OfTinyBertInDynamicInt8) {
  ExpectPlan(Precision::kDynamic, R"(for each chunk of tokens
  embed bert.embeddings.word_embeddings.weight s8 + bert.embeddings.token_type_embeddings.weight f32 + bert.embeddings.position_embeddings.weight s8 [scalar]
  layer norm + quantize bert.embeddings.LayerNorm [scalar]
  linear u8s8 32 x 96 bert.encoder.layer.0.attention.self.query + key + value [scalar]
for each task
  attention 4 heads of 8 bert.encoder.layer.0.attention.self.attention [scalar]
for each chunk of tokens
  quantize 32 columns [scalar]
  linear u8s8 32 x 32 bert.encoder.layer.0.attention.output.dense [scalar]
  add + layer norm + quantize bert.encoder.layer.0.attention.output.LayerNorm [scalar]
  linear u8s8 32 x 64 + gelu bert.encoder.layer.0.intermediate.dense [scalar]
  quantize 64 columns [scalar]
  linear u8s8 64 x 32 bert.encoder.layer.0.output.dense [scalar]
  add + layer norm + quantize bert.encoder.layer.0.output.LayerNorm [scalar]
  linear u8s8 32 x 64 bert.encoder.layer.1.attention.self.key + value [scalar]
for each chunk of texts
  first token of each text
  quantize 32 columns [scalar]
  linear u8s8 32 x 32 bert.encoder.layer.1.attention.self.query [scalar]
for each task
  attention of first tokens, 4 heads of 8 bert.encoder.layer.1.attention.self.attention [scalar]
for each chunk of texts
  quantize 32 columns [scalar]
  linear u8s8 32 x 32 bert.encoder.layer.1.attention.output.dense [scalar]
  add + layer norm + quantize bert.encoder.layer.1.attention.output.LayerNorm [scalar]
  linear u8s8 32 x 64 + gelu bert.encoder.layer.1.intermediate.dense [scalar]
  quantize 64 columns [scalar]
  linear u8s8 64 x 32 bert.encoder.layer.1.output.dense [scalar]
  add + layer norm bert.encoder.layer.1.output.LayerNorm [scalar]
  quantize 32 columns [scalar]
  linear u8s8 32 x 32 + tanh bert.pooler.dense [scalar]
  quantize 32 columns [scalar]
  linear u8s8 32 x 3 logits [scalar]
buffers
  each token: 128 + 384 + 128 + 256 bytes
  each token of a thread's chunk: 128 + 64 + 4 + 4 + 128 + 256 bytes
  each text: 128 + 128 + 128 bytes
  each text of a thread's chunk: 64 + 4 + 4 + 128 + 128 + 256 bytes
)");
}

// Unlike the products in bfloat16 above.
TEST(PlanTextTest, SaysHowWeightsOfLayersInFloatAreStored) {
  const Graph graph = Model::Load("tests/data/tiny_bert").graph();
  const std::vector<std::string> names = passes::SelectLayers(graph, {});
  for (const auto& [dtype, stored] : {std::pair{DType::kF16, "f16"}, {DType::kBF16, "bf16"}}) {
    const Graph half = passes::StoreWeightsHalf(graph, {names.begin(), names.end()}, dtype, {});
    const std::string plan = CompileTapped(half, {}, nullptr, {.isa = "scalar"})->PlanText();
    EXPECT_NE(plan.find(std::string("  linear f32, ") + stored +
                        " weights 32 x 96 bert.encoder.layer.0.attention.self.query + key + value [scalar]\n"),
              std::string::npos)
        << plan;
  }
}

TEST(PlanTextTest, SaysWhereAttentionIsInInt8) {
  const std::string plan = CompileTapped(Load("tiny_bert", Precision::kInt8Attention), {}, nullptr, {})->PlanText();
  EXPECT_NE(plan.find("  attention INT8 4 heads of 8 bert.encoder.layer.0.attention.self.attention ["),
            std::string::npos)
      << plan;
  EXPECT_NE(plan.find("  attention INT8 of first tokens, 4 heads of 8 bert.encoder.layer.1.attention.self.attention ["),
            std::string::npos)
      << plan;
}

TEST(PlanTextTest, OfTinyBertInStaticInt8) {
  ExpectPlan(Precision::kStatic, R"(for each chunk of tokens
  embed bert.embeddings.word_embeddings.weight s8 + bert.embeddings.token_type_embeddings.weight f32 + bert.embeddings.position_embeddings.weight s8 [scalar]
  layer norm + quantize by 0.01490196 bert.embeddings.LayerNorm [scalar]
  linear u8s8 32 x 96 bert.encoder.layer.0.attention.self.query + key + value [scalar]
for each task
  attention 4 heads of 8 bert.encoder.layer.0.attention.self.attention [scalar]
for each chunk of tokens
  quantize 32 columns by 0.01490196 [scalar]
  linear u8s8 32 x 32 bert.encoder.layer.0.attention.output.dense [scalar]
  add + layer norm + quantize by 0.01490196 bert.encoder.layer.0.attention.output.LayerNorm [scalar]
  linear u8s8 32 x 64 + gelu + quantize by 0.01490196 bert.encoder.layer.0.intermediate.dense [scalar]
  linear u8s8 64 x 32 bert.encoder.layer.0.output.dense [scalar]
  add + layer norm + quantize by 0.01490196 bert.encoder.layer.0.output.LayerNorm [scalar]
  linear u8s8 32 x 64 bert.encoder.layer.1.attention.self.key + value [scalar]
for each chunk of texts
  first token of each text
  quantize 32 columns by 0.01490196 [scalar]
  linear u8s8 32 x 32 bert.encoder.layer.1.attention.self.query [scalar]
for each task
  attention of first tokens, 4 heads of 8 bert.encoder.layer.1.attention.self.attention [scalar]
for each chunk of texts
  quantize 32 columns by 0.01490196 [scalar]
  linear u8s8 32 x 32 bert.encoder.layer.1.attention.output.dense [scalar]
  add + layer norm + quantize by 0.01490196 bert.encoder.layer.1.attention.output.LayerNorm [scalar]
  linear u8s8 32 x 64 + gelu + quantize by 0.01490196 bert.encoder.layer.1.intermediate.dense [scalar]
  linear u8s8 64 x 32 bert.encoder.layer.1.output.dense [scalar]
  add + layer norm bert.encoder.layer.1.output.LayerNorm [scalar]
  quantize 32 columns by 0.01490196 [scalar]
  linear u8s8 32 x 32 + tanh + quantize by 0.01490196 bert.pooler.dense [scalar]
  linear u8s8 32 x 3 logits [scalar]
buffers
  each token: 128 + 384 + 128 + 256 bytes
  each token of a thread's chunk: 128 + 64 + 4 + 4 + 128 + 4 + 4 + 128 bytes
  each text: 128 + 128 + 128 bytes
  each text of a thread's chunk: 64 + 4 + 4 + 128 + 128 + 4 + 4 + 128 bytes
)");
}

INSTANTIATE_TEST_SUITE_P(Models, PlannerTest,
                         ::testing::Combine(::testing::Values("tiny_bert", "tiny_electra", "tiny_distilbert",
                                                              "tiny_roberta", "tiny_xlm_roberta", "tiny_albert"),
                                            ::testing::Values(Precision::kFloat, Precision::kBFloat16,
                                                              Precision::kDynamic, Precision::kInt8Attention,
                                                              Precision::kStatic, Precision::kSmoothedStatic)));

}  // namespace
}  // namespace laconic::runtime
