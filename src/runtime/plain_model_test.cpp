// Graphs that no plan fits still run, op by op. Expected answers are worked out by hand from the tables below.
#include "runtime/plain_model.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing.h"
#include "kernels/attention/attention.h"
#include "kernels/attention_int8/attention_int8.h"
#include "laconic/error.h"
#include "laconic/model.h"
#include "laconic/session.h"
#include "passes/quantize/int8.h"

namespace laconic {
namespace {

// ids → rows of a table [4, 2] → the sum over the text's tokens, as a head that no kernel knows → scores.
struct Head {
  std::string ids_type = "s64";
  bool has_types_first = false;
  bool has_own_mask = false;
  std::string output = "scores";
};

Model MakeModel(const Head& head, const std::function<void(Graph*, ValueId)>& add_outputs = {}) {
  auto graph = std::make_shared<Graph>();
  const ValueType ids_type = {ParseDType(head.ids_type), {"batch", "sequence"}};
  const ValueId types = head.has_types_first ? graph->AddInput("token_type_ids", ids_type) : kNoValue;
  if (head.has_own_mask) {
    graph->AddInput("my_mask", ids_type);
  }
  const ValueId ids = graph->AddInput("input_ids", ids_type);
  const std::vector<float> rows = {0, 1, 2, 3, 4, 5, 6, 7};
  const std::vector<std::int64_t> axis = {1};
  const ValueId table = graph->AddInitializer("table", Tensor::FromValues<float>({4, 2}, rows));
  ValueId words = graph->AddNode("Gather", "words", {table, ids});
  if (types != kNoValue) {
    words = graph->AddNode("Add", "typed", {words, graph->AddNode("Gather", "types", {table, types})});
  }
  const ValueId summed = graph->AddNode(
      "ReduceSum", "summed", {words, graph->AddInitializer("axis", Tensor::FromValues<std::int64_t>({1}, axis))},
      {{"keepdims", std::int64_t{0}}});
  if (add_outputs) {
    add_outputs(graph.get(), summed);
  }
  graph->AddOutput(graph->AddNode("Softsign", head.output, {summed}));
  return {ModelInfo(), std::move(graph), std::nullopt};
}

std::string CompileError(const Model& model) {
  return ErrorOf([&] { CompiledModel::Compile(model); });
}

TEST(PlainModelTest, RunsAHeadThatHasNoKernel) {
  for (const std::string type : {"s64", "s32"}) {
    const auto compiled = CompiledModel::Compile(MakeModel({.ids_type = type}));
    EXPECT_EQ(compiled->output_width(), 2);
    EXPECT_EQ(compiled->num_ids(), 4);
    const std::string plan = compiled->PlanText();
    EXPECT_NE(plan.find("no kernel runs ReduceSum"), std::string::npos) << plan;
    EXPECT_NE(plan.find("The interpreter runs all 3 nodes, op by op, one text at a time"), std::string::npos) << plan;
    for (const int threads : {1, 3}) {
      Session session(compiled, threads);
      const std::vector<Encoding> texts = {{{0}, {}}, {{1, 3}, {}}, {{2}, {}}};
      EXPECT_EQ(session.Run(texts), (std::vector<float>{0, 1 / 2.F, 8 / 9.F, 10 / 11.F, 4 / 5.F, 5 / 6.F}));
      EXPECT_TRUE(session.Run({}).empty());
    }
  }
}

TEST(PlainModelTest, TakesInputsByNameInAnyOrder) {
  Session session(CompiledModel::Compile(MakeModel({.has_types_first = true})), 1);
  const std::vector<Encoding> texts = {{{1, 2}, {0, 1}}, {{1, 2}, {}}};
  EXPECT_EQ(session.Run(texts), (std::vector<float>{8 / 9.F, 12 / 13.F, 6 / 7.F, 10 / 11.F}));
}

TEST(PlainModelTest, NamesTheTextOfABadInput) {
  Session session(CompiledModel::Compile(MakeModel({})), 1);
  for (const Encoding& bad : {Encoding{{}, {}}, Encoding{{4}, {}}, Encoding{{-1}, {}}, Encoding{{1, 2}, {0}}}) {
    const std::vector<Encoding> batch = {{{0}, {}}, bad};
    EXPECT_THAT(ErrorOf(ErrorCode::kInvalidArgument, [&] { session.Run(batch); }),
                ::testing::HasSubstr("in text 1 of the batch"));
  }
}

TEST(PlainModelTest, NamesAnInputThatItCannotFill) {
  EXPECT_NE(CompileError(MakeModel({.has_own_mask = true})).find("unsupported: input 'my_mask' of type s64"),
            std::string::npos);
}

TEST(PlainModelTest, TheAnswerIsCalledLogitsOrComesFirst) {
  const auto add_outputs = [](Graph* graph, ValueId summed) {
    graph->AddOutput(graph->AddNode("Shape", "shape", {summed}));  // no answer: s64
    graph->AddOutput(graph->AddNode("Neg", "first", {summed}));
  };
  const std::vector<Encoding> text = {{{1}, {}}};
  Session first(CompiledModel::Compile(MakeModel({}, add_outputs)), 1);
  EXPECT_EQ(first.Run(text), (std::vector<float>{-2, -3}));
  Session logits(CompiledModel::Compile(MakeModel({.output = "logits"}, add_outputs)), 1);
  EXPECT_EQ(logits.Run(text), (std::vector<float>{2 / 3.F, 3 / 4.F}));
}

TEST(PlainModelTest, AGraphWithoutAnAnswerSaysWhatItGives) {
  Graph graph;
  const ValueId ids = graph.AddInput("input_ids", {DType::kS64, {"batch", "sequence"}});
  graph.AddOutput(graph.AddNode("Neg", "negated", {ids}));
  EXPECT_EQ(CompileError({ModelInfo(), std::make_shared<const Graph>(graph), std::nullopt}),
            "unsupported: no output is f32 [batch, labels]; for one text there is 'negated' of type s64[1, 4]");
}

// The model's own graph with one op more: the same answers as from its kernels.
TEST(PlainModelTest, AgreesWithTheKernels) {
  const Model model = Model::Load("tests/data/tiny_bert");
  auto graph = std::make_shared<Graph>();
  GraphCopier copy(model.graph(), graph.get());
  for (const Node& node : model.graph().nodes()) {
    copy.CopyNode(node);
  }
  graph->AddOutput(graph->AddNode("Identity", "same", {copy(model.graph().outputs()[0])}));
  Session kernels(CompiledModel::Compile(model), 1);
  Session plain(CompiledModel::Compile({model.info(), graph, std::nullopt}), 2);
  const std::vector<Encoding> texts = {{{2, 5, 6, 3}, {}}, {{2, 9, 3, 11, 12, 3}, {0, 0, 0, 1, 1, 1}}};
  const std::vector<float> expected = kernels.Run(texts);
  const std::vector<float> got = plain.Run(texts);
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    // Sums of 32 to 128 products in another order, through random layers that amplify: 1.2e-5 was seen.
    EXPECT_NEAR(got[i], expected[i], 5e-5) << i;
  }
}

// INT8 attention without a plan is the interpreter's, whose weights are codes of exp where the kernels have 2^x.
TEST(PlainModelTest, Int8AttentionAgreesWithTheKernels) {
  const Model model = Model::Load("tests/data/tiny_bert");
  passes::Int8Options options;
  options.qconfig.int8_attention = true;
  const Graph quantized = passes::QuantizeInt8(model.graph(), {}, options);  // attention alone
  Session kernels(CompiledModel::Compile({model.info(), std::make_shared<const Graph>(quantized), std::nullopt}), 1);
  ThreadPool pool(1);
  const runtime::PlainModel plain(quantized, "to compare");
  std::mt19937 random(3);
  std::vector<Encoding> texts(40);
  for (Encoding& text : texts) {
    text.ids.resize(1 + random() % 60);
    std::ranges::generate(text.ids, [&] { return static_cast<std::int32_t>(random() % 40); });
  }
  const std::vector<float> expected = kernels.Run(texts);
  const std::vector<float> got = plain.Run(texts, &pool);
  ASSERT_EQ(got.size(), expected.size());
  std::vector<float> differences(got.size());
  std::ranges::transform(got, expected, differences.begin(), [](float a, float b) { return std::abs(a - b); });
  std::ranges::sort(differences);
  // As above; and where a rounding boundary lies between the two, a code differs: seen in a tenth of the logits, 9e-3.
  EXPECT_LT(differences[differences.size() * 3 / 4], 5e-5F);
  EXPECT_LT(differences.back(), 0.05F);
}

// --- graphs that steps of whole rows would misread ------------------------------------------------------------------

struct OddGraph {
  Graph graph;
  ValueId ids = graph.AddInput("input_ids", {DType::kS64, {"batch", "sequence"}});

  ValueId Floats(const std::string& name, const Shape& shape, const std::vector<float>& values) {
    return graph.AddInitializer(name, Tensor::FromValues<float>(shape, values));
  }
  // Rows 0 1, 2 3, 4 5, 6 7.
  ValueId Words() { return graph.AddNode("Gather", "words", {Floats("table", {4, 2}, {0, 1, 2, 3, 4, 5, 6, 7}), ids}); }
  ValueId First(const std::string& name, ValueId x, const Shape& index = {}) {
    const std::vector<std::int64_t> zero = {0};
    const ValueId first = graph.AddInitializer(name + "_index", Tensor::FromValues<std::int64_t>(index, zero));
    return graph.AddNode("Gather", name, {x, first}, {{"axis", std::int64_t{1}}});
  }
  std::vector<float> Answer(ValueId output, const std::vector<Encoding>& texts) {
    graph.AddOutput(output);
    const Model model(ModelInfo(), std::make_shared<const Graph>(graph), std::nullopt);
    return Session(CompiledModel::Compile(model), 1).Run(texts);
  }
};

const std::vector<Encoding> kTwoTexts = {{{1, 3}, {}}, {{2}, {}}};

TEST(OddGraphTest, ATableOfOneColumnIsAddedToAll) {
  OddGraph row;
  const ValueId mask = row.graph.AddInput("attention_mask", {DType::kS64, {"batch", "sequence"}});
  const ValueId typed = row.graph.AddNode("Add", "typed", {row.Words(), row.Floats("row", {1}, {10})});
  EXPECT_EQ(row.Answer(row.graph.AddNode("laconic.MeanPool", "logits", {typed, mask}), kTwoTexts),
            (std::vector<float>{14, 15, 14, 15}));

  OddGraph table;
  const ValueId narrow =
      table.graph.AddNode("Gather", "narrow", {table.Floats("one", {4, 1}, {10, 20, 30, 40}), table.ids});
  const ValueId sum = table.graph.AddNode("Add", "sum", {narrow, table.Words()});
  EXPECT_EQ(table.Answer(table.First("logits", sum), kTwoTexts), (std::vector<float>{22, 23, 34, 35}));
}

TEST(OddGraphTest, IdsLieBelowTheSmallestTable) {
  OddGraph odd;
  const ValueId few = odd.graph.AddNode("Gather", "few", {odd.Floats("short", {2, 2}, {10, 20, 30, 40}), odd.ids});
  odd.graph.AddOutput(odd.First("logits", odd.graph.AddNode("Add", "sum", {few, odd.Words()})));
  const auto model = CompiledModel::Compile({ModelInfo(), std::make_shared<const Graph>(odd.graph), std::nullopt});
  EXPECT_EQ(model->num_ids(), 2);
  EXPECT_EQ(Session(model, 1).Run({{{{1}, {}}}}), (std::vector<float>{32, 43}));
  EXPECT_THROW(Session(model, 1).Run({{{{2}, {}}}}), Error);
}

TEST(OddGraphTest, ATableWithoutRowsIsRefused) {
  OddGraph odd;
  odd.graph.AddOutput(
      odd.First("logits", odd.graph.AddNode("Gather", "words", {odd.Floats("empty", {0, 2}, {}), odd.ids})));
  EXPECT_EQ(CompileError({ModelInfo(), std::make_shared<const Graph>(odd.graph), std::nullopt}),
            "invalid file: the embedding table 'empty' has no rows\n  in node 'words'");
}

TEST(OddGraphTest, ALayerMayMakeTheMask) {
  OddGraph odd;
  const ValueId x = odd.Words();
  const ValueId mask = odd.graph.AddNode("laconic.Linear", "mask", {x, odd.Floats("w", {2, 2}, {1, 2, 3, 4})});
  const Attributes one_head = {{"q_num_heads", std::int64_t{1}}, {"kv_num_heads", std::int64_t{1}}, {"scale", 1.0F}};
  odd.graph.AddOutput(odd.First("logits", odd.graph.AddNode("Attention", "mixed", {x, x, x, mask}, one_head)));
  EXPECT_EQ(CompileError({ModelInfo(), std::make_shared<const Graph>(odd.graph), std::nullopt}), "no error");
}

TEST(OddGraphTest, LabelsAreAsManyAsNumbers) {
  OddGraph odd;
  odd.graph.AddOutput(odd.First("logits", odd.Words()));
  ModelInfo info;
  info.labels = {"a", "b", "c"};
  EXPECT_EQ(CompileError({info, std::make_shared<const Graph>(odd.graph), std::nullopt}),
            "invalid file: the model has 3 labels, but its graph computes 2 numbers a text");
}

TEST(OddGraphTest, TheFirstColumnOfATextIsNoFirstToken) {
  OddGraph odd;
  const ValueId first = odd.First("first", odd.Words());
  EXPECT_EQ(odd.Answer(odd.First("logits", first, {1}), kTwoTexts), (std::vector<float>{2, 4}));
}

TEST(OddGraphTest, IdsOfOneDimensionAreNoTokens) {
  Graph graph;
  const ValueId ids = graph.AddInput("input_ids", {DType::kS64, {"batch"}});
  const std::vector<float> rows = {0, 1, 2, 3, 4, 5, 6, 7};
  graph.AddOutput(
      graph.AddNode("Gather", "logits", {graph.AddInitializer("t", Tensor::FromValues<float>({4, 2}, rows)), ids}));
  EXPECT_NE(CompileError({ModelInfo(), std::make_shared<const Graph>(graph), std::nullopt})
                .find("input 'input_ids' of type s64[batch]; expected"),
            std::string::npos);
}

TEST(OddGraphTest, AnswersOfTokensAreNoAnswersOfTexts) {
  OddGraph odd;
  odd.graph.AddOutput(odd.graph.AddNode("Relu", "hidden", {odd.Words()}));
  EXPECT_EQ(CompileError({ModelInfo(), std::make_shared<const Graph>(odd.graph), std::nullopt}),
            "unsupported: no output is f32 [batch, labels]; for one text there is 'hidden' of type f32[1, 4, 2]");
}

TEST(OddGraphTest, IntegersBehindACastAreNoCodes) {
  OddGraph odd;
  const std::vector<std::int8_t> rows = {0, 1, 2, 3, 4, 5, 6, 7};
  const ValueId table = odd.graph.AddInitializer("integers", Tensor::FromValues<std::int8_t>({4, 2}, rows));
  const ValueId real = odd.graph.AddNode("Cast", "real", {table}, {{"to", std::string("f32")}});
  const ValueId words = odd.graph.AddNode("Gather", "rows", {real, odd.ids});
  EXPECT_EQ(odd.Answer(odd.First("logits", words), kTwoTexts), (std::vector<float>{2, 3, 4, 5}));
}

// Codes that our kernels do not have: the interpreter does.
TEST(OddGraphTest, SixteenBitCodesRun) {
  OddGraph odd;
  const std::vector<std::int16_t> zero = {5};
  const ValueId zero_point = odd.graph.AddInitializer("zero", Tensor::FromValues<std::int16_t>({}, zero));
  const ValueId scale = odd.Floats("scale", {}, {0.5F});
  const ValueId codes =
      odd.graph.AddNode("QuantizeLinear", "codes", {odd.First("first", odd.Words()), scale, zero_point});
  const ValueId real = odd.graph.AddNode("DequantizeLinear", "logits", {codes, scale, zero_point});
  EXPECT_EQ(odd.Answer(real, kTwoTexts), (std::vector<float>{2, 3, 4, 5}));
}

TEST(OddGraphTest, CodesOfAStatedTypeClampToIt) {
  OddGraph odd;
  const ValueId scale = odd.Floats("scale", {}, {1.0F / 32});
  const ValueId codes = odd.graph.AddNode("QuantizeLinear", "codes", {odd.First("first", odd.Words()), scale},
                                          {{"output_dtype", std::string("s8")}});
  const ValueId real = odd.graph.AddNode("DequantizeLinear", "logits", {codes, scale});
  // 127 is the largest code: 127 / 32.
  EXPECT_EQ(odd.Answer(real, kTwoTexts), (std::vector<float>{2, 3, 127.0F / 32, 127.0F / 32}));
}

// A text of token types 1 0: what they mask is masked, whatever attention_mask would.
TEST(OddGraphTest, AnotherMaskIsAnotherMask) {
  OddGraph odd;
  const ValueId types = odd.graph.AddInput("token_type_ids", {DType::kS64, {"batch", "sequence"}});
  const ValueId mask = odd.graph.AddNode("laconic.KeyMask", "mask", {types});
  const ValueId x = odd.Words();
  const ValueId mixed =
      odd.graph.AddNode("Attention", "mixed", {x, x, x, mask},
                        {{"q_num_heads", std::int64_t{1}}, {"kv_num_heads", std::int64_t{1}}, {"scale", 1.0F}});
  EXPECT_EQ(odd.Answer(odd.First("logits", mixed), {{{3, 1}, {0, 1}}}), (std::vector<float>{2, 3}));
}

TEST(OddGraphTest, WeightsWithAScaleARowKeepThem) {
  OddGraph odd;
  const std::vector<std::int8_t> codes = {1, 2, 3, 4};
  const ValueId stored = odd.graph.AddInitializer("codes", Tensor::FromValues<std::int8_t>({2, 2}, codes));
  const ValueId weight = odd.graph.AddNode("DequantizeLinear", "weight", {stored, odd.Floats("scale", {2}, {1, 10})},
                                           {{"axis", std::int64_t{0}}});
  const ValueId first = odd.First("first", odd.Words());
  // (2, 3) and (4, 5) by (1 2; 30 40)
  EXPECT_EQ(odd.Answer(odd.graph.AddNode("laconic.Linear", "logits", {first, weight}), kTwoTexts),
            (std::vector<float>{92, 124, 154, 208}));
}

// Tables of codes by columns, and by blocks that no kernel has.
TEST(OddGraphTest, TablesKeepTheScalesTheyHave) {
  for (const std::int64_t block : {0, 1}) {
    OddGraph odd;
    const std::vector<std::int8_t> codes = {1, 2, 3, 4};
    const ValueId stored = odd.graph.AddInitializer("codes", Tensor::FromValues<std::int8_t>({2, 2}, codes));
    const ValueId scale = block == 0 ? odd.Floats("scale", {2}, {1, 10}) : odd.Floats("scale", {2, 2}, {1, 10, 1, 10});
    const ValueId table = odd.graph.AddNode("DequantizeLinear", "table", {stored, scale},
                                            {{"axis", std::int64_t{1}}, {"block_size", block}});
    const ValueId rows = odd.graph.AddNode("Gather", "rows", {table, odd.ids});
    EXPECT_EQ(odd.Answer(odd.First("logits", rows), {{{1, 0}, {}}, {{0}, {}}}), (std::vector<float>{3, 40, 1, 20}));
  }
}

TEST(OddGraphTest, PositionsBehindAnOffsetHaveTheirOwnScales) {
  for (const std::int64_t offset : {1, 2}) {
    OddGraph odd;
    const std::vector<std::int8_t> codes = {1, 2, 3, 4};
    const ValueId stored = odd.graph.AddInitializer("codes", Tensor::FromValues<std::int8_t>({2, 2}, codes));
    const ValueId table = odd.graph.AddNode("DequantizeLinear", "places", {stored, odd.Floats("scale", {2}, {1, 100})},
                                            {{"axis", std::int64_t{0}}});
    const ValueId places = odd.graph.AddNode("laconic.Positions", "positions", {odd.ids}, {{"offset", offset}});
    const ValueId sum =
        odd.graph.AddNode("Add", "sum", {odd.Words(), odd.graph.AddNode("Gather", "row", {table, places})});
    const ValueId first = odd.First("logits", sum);
    if (offset == 1) {
      EXPECT_EQ(odd.Answer(first, {{{1}, {}}}), (std::vector<float>{302, 403}));
      continue;
    }
    odd.graph.AddOutput(first);
    EXPECT_NE(CompileError({ModelInfo(), std::make_shared<const Graph>(odd.graph), std::nullopt})
                  .find("positions from 2 on in a table of 2 rows"),
              std::string::npos);
  }
}

TEST(OddGraphTest, CodesAreReadByTheScaleOfTheirReader) {
  OddGraph odd;
  const std::vector<std::uint8_t> zero = {0};
  const ValueId zero_point = odd.graph.AddInitializer("zero", Tensor::FromValues<std::uint8_t>({}, zero));
  const ValueId codes = odd.graph.AddNode(
      "QuantizeLinear", "codes", {odd.First("first", odd.Words()), odd.Floats("scale", {}, {0.5F}), zero_point});
  const ValueId real =
      odd.graph.AddNode("DequantizeLinear", "logits", {codes, odd.Floats("other", {}, {0.25F}), zero_point});
  EXPECT_EQ(odd.Answer(real, kTwoTexts), (std::vector<float>{1, 1.5F, 2, 2.5F}));
}

TEST(OddGraphTest, AScaleOfZeroIsRefused) {
  OddGraph odd;
  const std::vector<std::uint8_t> zero = {0};
  const ValueId zero_point = odd.graph.AddInitializer("zero", Tensor::FromValues<std::uint8_t>({}, zero));
  const ValueId scale = odd.Floats("scale", {}, {0});
  const ValueId codes =
      odd.graph.AddNode("QuantizeLinear", "codes", {odd.First("first", odd.Words()), scale, zero_point});
  odd.graph.AddOutput(odd.graph.AddNode("DequantizeLinear", "logits", {codes, scale, zero_point}));
  EXPECT_NE(CompileError({ModelInfo(), std::make_shared<const Graph>(odd.graph), std::nullopt})
                .find("QuantizeLinear: expected a scale above 0, got 0"),
            std::string::npos);
}

TEST(OddGraphTest, AttentionPastTheKernelsLimitsRunsOpByOpOrHasALongestText) {
  const auto compile = [](std::int64_t width, const std::string& op, const Attributes& attributes) {
    OddGraph odd;
    const ValueId mask = odd.graph.AddNode(
        "laconic.KeyMask", "mask", {odd.graph.AddInput("attention_mask", {DType::kS64, {"batch", "sequence"}})});
    const std::vector<float> rows(static_cast<std::size_t>(width), 1);
    const ValueId x = odd.graph.AddNode("Gather", "words", {odd.Floats("table", {1, width}, rows), odd.ids});
    odd.graph.AddOutput(odd.First("logits", odd.graph.AddNode(op, "mixed", {x, x, x, mask}, attributes)));
    return CompiledModel::Compile({ModelInfo(), std::make_shared<const Graph>(odd.graph), std::nullopt});
  };
  const Attributes one_head = {{"q_num_heads", std::int64_t{1}}, {"kv_num_heads", std::int64_t{1}}, {"scale", 1.0F}};
  EXPECT_EQ(compile(kernels::kMaxHeadDim, "Attention", one_head)->PlanText().find("heads wider"), std::string::npos);
  EXPECT_NE(compile(kernels::kMaxHeadDim + 1, "Attention", one_head)->PlanText().find("heads wider"),
            std::string::npos);
  EXPECT_EQ(compile(8, "laconic.Int8Attention", {{"num_heads", std::int64_t{1}}, {"scale", 1.0F}})->max_length(),
            kernels::kMaxInt8Keys);
}

// A layer that writes a static quantizer's codes still shows a bias that is no number.
TEST(OddGraphTest, ABiasThatIsNoNumberIsSeenThroughCodes) {
  OddGraph odd;
  const std::vector<std::uint8_t> zero = {0};
  const std::vector<std::int8_t> codes = {1, 2, 3, 4};
  const ValueId zero_point = odd.graph.AddInitializer("zero", Tensor::FromValues<std::uint8_t>({}, zero));
  const ValueId scale = odd.Floats("scale", {}, {0.5F});
  const ValueId stored = odd.graph.AddInitializer("codes", Tensor::FromValues<std::int8_t>({2, 2}, codes));
  const ValueId weight = odd.graph.AddNode("DequantizeLinear", "weight", {stored, scale});
  const auto rounded = [&](const std::string& name, ValueId x) {
    const ValueId q = odd.graph.AddNode("QuantizeLinear", name + "_codes", {x, scale, zero_point});
    return odd.graph.AddNode("DequantizeLinear", name, {q, scale, zero_point});
  };
  const ValueId bias = odd.Floats("bias", {2}, {NAN, 1});
  const ValueId inner =
      odd.graph.AddNode("laconic.Linear", "inner", {rounded("x", odd.First("first", odd.Words())), weight, bias});
  for (const float x :
       odd.Answer(odd.graph.AddNode("laconic.Linear", "logits", {rounded("y", inner), weight}), kTwoTexts)) {
    EXPECT_TRUE(std::isnan(x)) << x;
  }
}

TEST(OddGraphTest, AFileDoesNotDictateTheMemoryOfAnAnswer) {
  OddGraph odd;
  const std::vector<std::int64_t> times = {1, std::int64_t{1} << 29};
  const ValueId repeats = odd.graph.AddInitializer("times", Tensor::FromValues<std::int64_t>({2}, times));
  const ValueId wide = odd.graph.AddNode("Tile", "wide", {odd.ids, repeats});
  odd.graph.AddOutput(odd.graph.AddNode("Cast", "logits", {wide}, {{"to", std::string("f32")}}));
  EXPECT_NE(CompileError({ModelInfo(), std::make_shared<const Graph>(odd.graph), std::nullopt}).find("resource"),
            std::string::npos);
}

TEST(OddGraphTest, AFileDoesNotDictateTheLengthOfTheProbe) {
  Graph graph;
  const ValueId ids = graph.AddInput("input_ids", {DType::kS64, {"batch", std::int64_t{1} << 40}});
  graph.AddOutput(graph.AddNode("Cast", "logits", {ids}, {{"to", std::string("f32")}}));
  EXPECT_NE(CompileError({ModelInfo(), std::make_shared<const Graph>(graph), std::nullopt})
                .find("unsupported: input 'input_ids' of 1099511627776 tokens; expected at most"),
            std::string::npos);
}

}  // namespace
}  // namespace laconic
