#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing.h"
#include "graph/text_form.h"
#include "laconic/error.h"
#include "passes/layer_selection.h"
#include "passes/precision/half.h"
#include "passes/quantize/int8.h"
#include "passes/quantize/linear_groups.h"
#include "passes/quantized_layers.h"
#include "quant/weight_range.h"
#include "quant/weights.h"

namespace laconic::passes {
namespace {

Tensor Random(const Shape& shape, float bad = 0) {
  std::mt19937 random(5);
  std::vector<float> values(static_cast<std::size_t>(NumElements(shape)));
  for (float& value : values) {
    value = static_cast<float>(random() % 2001) / 1000 - 1;
  }
  if (bad != 0) {
    values[3] = bad;
  }
  return Tensor::FromValues<float>(shape, values);
}

// Two layers that read the same rows, one after; a weight as PyTorch keeps it, transposed.
Graph Example(float bad = 0) {
  Graph graph;
  const ValueId ids = graph.AddInput("ids", {DType::kS64, {"batch", "sequence"}});
  const ValueId table = graph.AddInitializer("words.weight", Random({7, 4}));
  const ValueId x = graph.AddNode("Gather", "words", {table, ids});
  const ValueId wq = graph.AddInitializer("query.weight", Random({6, 4}, bad).Transposed());
  const ValueId wk = graph.AddInitializer("key.weight", Random({4, 6}));
  const ValueId q = graph.AddNode("laconic.Linear", "query", {x, wq});
  const ValueId k = graph.AddNode("laconic.Linear", "key", {x, wk});
  graph.AddOutput(graph.AddNode("Add", "sum", {q, k}));
  return graph;
}

const Tensor& TensorOf(const Graph& graph, std::string_view name) {
  return *graph.FindInitializer(*graph.FindValue(name));
}

std::string TextWithoutDigests(const Graph& graph) {
  std::string text = PrintGraph(graph);
  for (std::size_t at; (at = text.find(" #")) != std::string::npos;) {
    text.erase(at, 18);
  }
  return text;
}

TEST(DynamicInt8Test, RewritesTheGraph) {
  EXPECT_EQ(TextWithoutDigests(QuantizeInt8(Example(), {"words", "query", "key"})),
            "input ids: s64[batch, sequence]\n"
            "const words.weight_quantized: s8[7, 4]\n"
            "const words.weight_scale: f32[7]\n"
            "words.weight = DequantizeLinear(words.weight_quantized, words.weight_scale) {axis = 0}: f32[7, 4]\n"
            "words = Gather(words.weight, ids): f32[batch, sequence, 4]\n"
            "words_quantized = laconic.DynamicQuantize(words): f32[batch, sequence, 4]\n"
            "const query.weight_quantized: s8[4, 6]\n"
            "const query.weight_scale: f32[6]\n"
            "query.weight = DequantizeLinear(query.weight_quantized, query.weight_scale): f32[4, 6]\n"
            "query = laconic.Linear(words_quantized, query.weight): f32[batch, sequence, 6]\n"
            "const key.weight_quantized: s8[4, 6]\n"
            "const key.weight_scale: f32[6]\n"
            "key.weight = DequantizeLinear(key.weight_quantized, key.weight_scale): f32[4, 6]\n"
            "key = laconic.Linear(words_quantized, key.weight): f32[batch, sequence, 6]\n"
            "sum = Add(query, key): f32[batch, sequence, 6]\n"
            "output sum\n");
}

TEST(DynamicInt8Test, WeightsFollowTheDefinitionPerOutputChannel) {
  const Graph before = Example();
  const Graph after = QuantizeInt8(before, {"words", "query", "key"});
  for (const std::string name : {"query.weight", "key.weight", "words.weight"}) {
    const bool table = name == "words.weight";
    const Tensor weight = TensorOf(before, name);
    const Tensor rows = (table ? weight : weight.Transposed()).Contiguous();
    const Tensor codes = TensorOf(after, name + "_quantized");
    const Tensor code_rows = (table ? codes : codes.Transposed()).Contiguous();
    const auto cols = static_cast<std::size_t>(rows.shape()[1]);
    for (std::size_t row = 0; row < static_cast<std::size_t>(rows.shape()[0]); ++row) {
      std::vector<std::int8_t> expected(cols);
      const float scale = quant::QuantizeRowS8(rows.values<float>().subspan(row * cols, cols), expected);
      EXPECT_EQ(TensorOf(after, name + "_scale").values<float>()[row], scale);
      const auto got = code_rows.values<std::int8_t>().subspan(row * cols, cols);
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), got.begin())) << name << " row " << row;
    }
  }
}

Int8Options InBlocksOf(std::int64_t columns) {
  Int8Options options;
  options.qconfig.embedding_block = columns;
  return options;
}

TEST(DynamicInt8Test, EmbeddingsInBlocksWhereTheyFit) {
  const Graph graph = QuantizeInt8(Example(), {"words"}, InBlocksOf(2));
  EXPECT_EQ(IntAttribute(*graph.FindProducer(*graph.FindValue("words.weight")), "block_size"), 2);
  const Tensor table = TensorOf(Example(), "words.weight");
  std::vector<std::int8_t> codes(4);
  const std::vector<float> scales = quant::QuantizeBlocksS8(table.values<float>().subspan(4, 4), 2, codes);
  EXPECT_EQ(TensorOf(graph, "words.weight_scale").shape(), (Shape{7, 2}));
  EXPECT_EQ(TensorOf(graph, "words.weight_scale").values<float>()[3], scales[1]);
  const auto stored = TensorOf(graph, "words.weight_quantized").values<std::int8_t>().subspan(4, 4);
  EXPECT_TRUE(std::ranges::equal(codes, stored));
  const Graph rows = QuantizeInt8(Example(), {"words"}, InBlocksOf(3));
  EXPECT_EQ(TensorOf(rows, "words.weight_scale").shape(), Shape{7}) << "4 columns are no blocks of 3";
}

TEST(DynamicInt8Test, WritesDownWhatCalibrationDecided) {
  const Graph before = Example();
  CalibratedRounding rounding;
  const std::vector<float> inv_smooth = {1, 2, 4, 8};
  const std::vector<float> shift = {1, 2, 3, 4, 5, 6};
  const std::vector<std::int8_t> codes(24, 5);
  rounding.inv_smooth[*before.FindValue("words")] = Tensor::FromValues<float>({4}, inv_smooth);
  rounding.linears[*before.FindValue("key.weight")] = {Tensor::FromValues<std::int8_t>({4, 6}, codes),
                                                       Tensor::FromValues<float>({6}, shift),
                                                       Tensor::FromValues<float>({6}, shift)};
  const Graph after = QuantizeInt8(before, {"query", "key"}, {.rounding = &rounding});
  const Node& key = *after.FindProducer(*after.FindValue("key"));
  const Node& quantize = *after.FindProducer(key.inputs[0]);
  EXPECT_EQ(key.inputs[0], after.FindProducer(*after.FindValue("query"))->inputs[0]) << "one quantizer for both";
  EXPECT_EQ(after.FindProducer(quantize.inputs[0])->op, "Mul");
  EXPECT_EQ(TensorOf(after, "words_smoothed_by").values<float>()[3], 8);
  EXPECT_EQ(TensorOf(after, "key.weight_quantized").values<std::int8_t>()[7], 5);
  EXPECT_EQ(TensorOf(after, "key.bias_corrected").values<float>()[5], 6);
  EXPECT_EQ(after.value(key.inputs[2]).name, "key.bias_corrected");
  EXPECT_EQ(after.FindProducer(*after.FindValue("query"))->inputs.size(), 2U) << "not decided, no bias";
}

// A linear layer, and what `op` makes of its rows by the attributes given.
Graph AttentionExample(const Attributes& attributes, bool has_key_mask = true) {
  Graph graph;
  const ValueId x = graph.AddInput("x", {DType::kF32, {"batch", "sequence", 4}});
  const ValueId q = graph.AddNode("laconic.Linear", "query", {x, graph.AddInitializer("query.weight", Random({4, 4}))});
  const ValueId mask = graph.AddInput("mask", {DType::kS64, {"texts", "tokens"}});
  const ValueId full = graph.AddInput("full", {DType::kBool, {"batch", 1, "sequence", "sequence"}});
  graph.AddOutput(graph.AddNode("Attention", "attention",
                                {q, x, x, has_key_mask ? graph.AddNode("laconic.KeyMask", "keys", {mask}) : full},
                                attributes));
  return graph;
}

std::string AttentionLine(const Graph& graph, bool int8_attention = true) {
  Int8Options options;
  options.qconfig.int8_attention = int8_attention;
  const std::string text = PrintGraph(QuantizeInt8(graph, {"query"}, options));
  const std::size_t at = text.find("\nattention = ") + 1;
  return text.substr(at, text.find('\n', at) - at);
}

TEST(Int8AttentionTest, ReplacesAttentionOfEachQueryToAllKeys) {
  const Attributes heads = {{"q_num_heads", std::int64_t{2}}, {"kv_num_heads", std::int64_t{2}}};
  const auto with = [&](const char* name, const Attribute& value) {
    Attributes attributes = heads;
    attributes[name] = value;
    return attributes;
  };
  EXPECT_EQ(AttentionLine(AttentionExample(with("scale", .5F))),
            "attention = laconic.Int8Attention(query, x, x, keys) {num_heads = 2, scale = 0.5}: "
            "f32[batch, sequence, 4]");
  EXPECT_EQ(AttentionLine(AttentionExample(heads)),
            "attention = laconic.Int8Attention(query, x, x, keys) {num_heads = 2, scale = 0.70710677}: "
            "f32[batch, sequence, 4]")
      << "the scale that none stands for";
  const auto stays = [](const Graph& graph, bool is_on = true) {
    EXPECT_TRUE(AttentionLine(graph, is_on).starts_with("attention = Attention(")) << AttentionLine(graph, is_on);
  };
  stays(AttentionExample(heads), false);
  stays(AttentionExample(heads, false));
  stays(AttentionExample(with("is_causal", std::int64_t{1})));
  stays(AttentionExample(with("softcap", 5.0F)));
  stays(AttentionExample(with("left_window_size", std::int64_t{3})));
  stays(AttentionExample(with("scale", -.5F)));
}

TEST(GroupLinearsTest, SharedInputsAndWeightsGoTogether) {
  Graph graph;
  const ValueId x = graph.AddInput("x", {DType::kF32, {"batch", 4}});
  const auto linear = [&](const char* name, ValueId input, ValueId weight) {
    return graph.AddNode("laconic.Linear", name, {input, weight});
  };
  const ValueId shared = graph.AddInitializer("shared.weight", Random({4, 4}));
  const ValueId a = linear("a", x, graph.AddInitializer("first.weight", Random({4, 4})));
  const ValueId b = linear("b", a, graph.AddInitializer("second.weight", Random({4, 4})));
  linear("c", b, shared);
  linear("d", x, shared);  // joins the inputs x and b
  const std::vector<LinearGroup> groups = GroupLinears(graph, {"first", "second", "shared"});
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].inputs, (std::vector{x, b}));
  EXPECT_EQ(groups[0].layers, (std::vector<std::string>{"first", "shared"}));
  EXPECT_EQ(groups[1].inputs, std::vector{a});
  EXPECT_EQ(groups[1].width, 4);
  EXPECT_EQ(GroupLinears(graph, {"second"}).size(), 1U);
}

// Two layers of one weight, as ALBERT's are.
TEST(DynamicInt8Test, QuantizesASharedWeightOnce) {
  Graph graph;
  const ValueId x = graph.AddInput("x", {DType::kF32, {"batch", "sequence", 4}});
  const ValueId weight = graph.AddInitializer("shared.weight", Random({4, 4}));
  const ValueId first = graph.AddNode("laconic.Linear", "first", {x, weight});
  graph.AddOutput(graph.AddNode("laconic.Linear", "second", {first, weight}));
  EXPECT_EQ(SelectLayers(graph, {}), std::vector<std::string>{"shared"});

  const Graph quantized = QuantizeInt8(graph, {"shared"});
  EXPECT_EQ(quantized.initializers().size(), 2U) << PrintGraph(quantized);
  const ValueId codes = *quantized.FindValue("shared.weight");
  for (const char* name : {"first", "second"}) {
    EXPECT_EQ(quantized.FindProducer(*quantized.FindValue(name))->inputs[1], codes) << name;
  }
}

TEST(DynamicInt8Test, NamesAWeightThatIsNotFinite) {
  const Graph bad = Example(std::numeric_limits<float>::quiet_NaN());
  EXPECT_THAT(ErrorOf(ErrorCode::kInvalidArgument, [&] { QuantizeInt8(bad, {"query"}); }),
              ::testing::HasSubstr("layer 'query'"));
}

TEST(Int8Test, RewritesTheGraphStatically) {
  const std::set<std::string> layers = {"query", "key"};
  Int8Options options = {.is_static = true, .ranges = {{"words", {0.5F, 7, DType::kU8}}}};
  options.qconfig.layers.weights.dtype = CodeType::kU8;
  EXPECT_EQ(TextWithoutDigests(QuantizeInt8(Example(), layers, options)),
            "input ids: s64[batch, sequence]\n"
            "const words.weight: f32[7, 4]\n"
            "words = Gather(words.weight, ids): f32[batch, sequence, 4]\n"
            "const words_scale: f32[]\n"
            "const words_zero_point: u8[]\n"
            "words_QuantizeLinear_Output = QuantizeLinear(words, words_scale, words_zero_point): "
            "u8[batch, sequence, 4]\n"
            "words_DequantizeLinear_Output = DequantizeLinear(words_QuantizeLinear_Output, words_scale, "
            "words_zero_point): f32[batch, sequence, 4]\n"
            "const query.weight_quantized: u8[4, 6]\n"
            "const query.weight_scale: f32[6]\n"
            "const query.weight_zero_point: u8[6]\n"
            "query.weight = DequantizeLinear(query.weight_quantized, query.weight_scale, query.weight_zero_point): "
            "f32[4, 6]\n"
            "query = laconic.Linear(words_DequantizeLinear_Output, query.weight): f32[batch, sequence, 6]\n"
            "const key.weight_quantized: u8[4, 6]\n"
            "const key.weight_scale: f32[6]\n"
            "const key.weight_zero_point: u8[6]\n"
            "key.weight = DequantizeLinear(key.weight_quantized, key.weight_scale, key.weight_zero_point): f32[4, 6]\n"
            "key = laconic.Linear(words_DequantizeLinear_Output, key.weight): f32[batch, sequence, 6]\n"
            "sum = Add(query, key): f32[batch, sequence, 6]\n"
            "output sum\n");
  options.ranges.clear();
  EXPECT_THROW(QuantizeInt8(Example(), layers, options), Error) << "not calibrated";
}

TEST(Int8Test, SmoothsBeforeItQuantizes) {
  const Graph before = Example();
  const std::vector<float> inv_smooth = {1, 2, 4, 8};
  CalibratedRounding rounding;
  rounding.inv_smooth[*before.FindValue("words")] = Tensor::FromValues<float>({4}, inv_smooth);
  Int8Options options = {.is_static = true, .ranges = {{"words", {0.5F, 7, DType::kS8}}}, .rounding = &rounding};
  const std::string fixed = PrintGraph(QuantizeInt8(before, {"key"}, options));
  EXPECT_NE(fixed.find("words_smoothed = Mul(words, words_smoothed_by)"), std::string::npos) << fixed;
  EXPECT_NE(fixed.find("const words_smoothed_zero_point: s8[]"), std::string::npos) << fixed;
  EXPECT_NE(fixed.find("key = laconic.Linear(words_smoothed_dequantized, key.weight)"), std::string::npos) << fixed;
  options.is_static = false;
  options.qconfig.layers.activations.granularity = Granularity::kTensor;
  const std::string dynamic = PrintGraph(QuantizeInt8(before, {"key"}, options));
  EXPECT_NE(dynamic.find("words_quantized = laconic.DynamicQuantize(words_smoothed) {granularity = \"tensor\"}"),
            std::string::npos)
      << dynamic;
}

TEST(Int8Test, WeightsInTheFormAskedFor) {
  const Tensor weight = TensorOf(Example(), "key.weight");
  const std::span<const float> values = weight.values<float>();
  std::vector<std::int8_t> expected(values.size());
  for (const CodeType dtype : {CodeType::kS8, CodeType::kU8}) {
    Int8Options options;
    TensorQConfig& weights = options.qconfig.layers.weights;
    weights.dtype = dtype;
    weights.granularity = Granularity::kTensor;
    weights.range = dtype == CodeType::kS8 ? CodeRange::kReduced : CodeRange::kFull;
    const float absmax = std::abs(*std::ranges::max_element(values, {}, [](float w) { return std::abs(w); }));
    const float scale = absmax / (dtype == CodeType::kS8 ? 64.0F : 127.5F);
    quant::RoundRow(values, scale, quant::WeightCodes(weights), expected);
    const Graph graph = QuantizeInt8(Example(), {"key"}, options);
    EXPECT_EQ(TensorOf(graph, "key.weight_scale").shape(), Shape{});
    EXPECT_EQ(TensorOf(graph, "key.weight_scale").values<float>()[0], scale);
    const Tensor codes = TensorOf(graph, "key.weight_quantized").Contiguous();
    EXPECT_EQ(codes.shape(), (Shape{4, 6}));
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(dtype == CodeType::kS8 ? codes.values<std::int8_t>()[i] : codes.values<std::uint8_t>()[i] - 128,
                expected[i]);
    }
  }
}

TEST(QuantizedLayersTest, FindsWhatIsRoundedHow) {
  const Graph before = Example();
  const std::vector<float> inv_smooth = {1, 2, 4, 8};
  CalibratedRounding rounding;
  rounding.inv_smooth[*before.FindValue("words")] = Tensor::FromValues<float>({4}, inv_smooth);
  const std::set<std::string> layers = {"query", "key"};
  const quant::QuantParams full = {0.5F, 7, DType::kS8, {}};
  const quant::QuantParams reduced = {0.3F, 5, DType::kU8, quant::Codes{0, 127}};
  const quant::QuantParams narrow = {0.7F, 3, DType::kS8, quant::Codes{-64, 63}};
  for (const auto& [fixed, granularity] :
       std::vector<std::pair<std::optional<quant::QuantParams>, Granularity>>{{full, Granularity::kTensor},
                                                                              {reduced, Granularity::kTensor},
                                                                              {narrow, Granularity::kTensor},
                                                                              {{}, Granularity::kToken},
                                                                              {{}, Granularity::kTensor}}) {
    for (const bool smooth : {false, true}) {
      Int8Options options = {.is_static = fixed.has_value(), .rounding = smooth ? &rounding : nullptr};
      options.ranges["words"] = fixed.value_or(full);
      options.qconfig.layers.weights.dtype = CodeType::kU8;
      options.qconfig.layers.activations.granularity = granularity;
      const Graph graph = QuantizeInt8(before, layers, options);
      const std::vector<QuantizedLinear> found = FindQuantizedLinears(graph);
      ASSERT_EQ(found.size(), 2U) << PrintGraph(graph);
      EXPECT_EQ(found[0].name, "query");
      EXPECT_EQ(found[0].input.rounded, found[1].input.rounded);
      EXPECT_EQ(found[1].codes->dtype(), DType::kU8);
      EXPECT_EQ(found[1].zero_point->num_elements(), 6);
      const InputQuantizer& input = found[1].input;
      EXPECT_EQ(graph.value(input.source).name, "words");
      EXPECT_EQ(input.quantizer.inv_smooth, smooth ? inv_smooth : std::vector<float>());
      EXPECT_EQ(input.per_text, !fixed && granularity == Granularity::kTensor);
      EXPECT_EQ(input.quantizer.fixed, fixed);
    }
  }
  EXPECT_TRUE(FindQuantizedLinears(before).empty());
}

// Opset 21: the type of codes without a zero point.
TEST(QuantizedLayersTest, CodesMayHaveTheirTypeFromAnAttribute) {
  Graph graph;
  const std::vector<float> scale = {0.5F};
  const ValueId x = graph.AddInput("x", {DType::kF32, {"rows", 4}});
  const ValueId by = graph.AddInitializer("scale", Tensor::FromValues<float>({}, scale));
  for (const char* dtype : {"s8", "s16"}) {
    const std::string name = dtype;
    const ValueId codes = graph.AddNode("QuantizeLinear", name + "_codes", {x, by}, {{"output_dtype", name}});
    const ValueId real = graph.AddNode("DequantizeLinear", name + "_real", {codes, by});
    const std::optional<quant::QuantParams> params = FindStaticParams(graph, *graph.FindProducer(codes));
    EXPECT_EQ(params, FindStaticParams(graph, *graph.FindProducer(real)));
    EXPECT_EQ(params, name == "s8" ? std::optional(quant::QuantParams{0.5F, 0, DType::kS8, {}}) : std::nullopt);
  }
}

TEST(HalfTest, StoresWeightsHalfAndKeepsTheLayout) {
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    const Graph graph = StoreWeightsHalf(Example(), {"query", "words"}, dtype, {});
    const std::string suffix = "_" + std::string(ToString(dtype));
    const Tensor query = TensorOf(graph, "query.weight" + suffix);
    EXPECT_EQ(query.dtype(), dtype);
    EXPECT_EQ(query.shape(), (Shape{4, 6}));
    EXPECT_EQ(graph.FindProducer(*graph.FindValue("query.weight"))->op, "Cast");
    EXPECT_EQ(TensorOf(graph, "key.weight").dtype(), DType::kF32) << "not selected";
    const Tensor original = TensorOf(Example(), "query.weight").Contiguous();
    const Tensor back = query.ToF32();
    const float bound = dtype == DType::kF16 ? 0x1p-11F : 0x1p-8F;  // half a unit in the last place, for |w| <= 1
    for (std::size_t i = 0; i < 24; ++i) {
      EXPECT_NEAR(back.values<float>()[i], original.values<float>()[i], bound);
    }
  }
}

TEST(HalfTest, NamesAWeightThatOverflows) {
  EXPECT_THAT(ErrorOf([] { StoreWeightsHalf(Example(70000), {"query"}, DType::kF16, {}); }),
              ::testing::AllOf(::testing::HasSubstr("70000"), ::testing::HasSubstr("tensor 'query.weight'")));
  EXPECT_NO_THROW(StoreWeightsHalf(Example(70000), {"query"}, DType::kBF16, {}));
}

TEST(LayerSelectionTest, TakesKindsAndPatterns) {
  const Graph graph = Example();
  using Names = std::vector<std::string>;
  EXPECT_EQ(SelectLayers(graph, {}), (Names{"words", "query", "key"}));
  EXPECT_EQ(SelectLayers(graph, {.kinds = {LayerKind::kLinear}}), (Names{"query", "key"}));
  EXPECT_EQ(SelectLayers(graph, {.include = {"*e*y"}, .exclude = {"ke?"}}), (Names{"query"}));
  EXPECT_THROW(SelectLayers(graph, {.exclude = {"classifer"}}), Error) << "a typing error";
  EXPECT_THROW(ParseLayerKind("conv"), Error);
}

TEST(LayerSelectionTest, TakesATableOfFewRowsOnlyWhenAsked) {
  Graph graph;
  const ValueId ids = graph.AddInput("ids", {DType::kS64, {"batch", "sequence"}});
  for (const std::int64_t rows : {4, 5}) {
    const std::string name = "rows" + std::to_string(rows);
    graph.AddOutput(graph.AddNode("Gather", name, {graph.AddInitializer(name + ".weight", Random({rows, 2})), ids}));
  }
  using Names = std::vector<std::string>;
  EXPECT_EQ(SelectLayers(graph, {}), (Names{"rows5"}));
  EXPECT_EQ(SelectLayers(graph, {.include = {"rows4"}}), (Names{"rows4"}));
}

}  // namespace
}  // namespace laconic::passes
