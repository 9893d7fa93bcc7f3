// Graph -> plain operators -> graph, without a file. What plain operators compute is tools/onnx/check_examples.py's.
#include "formats/onnx/op_patterns.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing.h"
#include "formats/onnx/onnx.h"
#include "formats/onnx/recognise.h"
#include "formats/onnx/test_graphs.h"
#include "formats/onnx/to_plain_graph.h"
#include "graph/ops.h"
#include "graph/text_form.h"
#include "laconic/error.h"

namespace laconic::onnx_file {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

ValueType Ids() { return {DType::kS64, {"batch", "sequence"}}; }
ValueType Hidden() { return {DType::kF32, {"batch", "sequence", 4}}; }

Tensor Floats(Shape shape) {
  std::vector<float> values(static_cast<std::size_t>(NumElements(shape)));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i) - 1.5F;
  }
  return Tensor::FromValues<float>(std::move(shape), values);
}

Tensor Codes(const Shape& shape) {
  std::vector<std::int8_t> values(static_cast<std::size_t>(NumElements(shape)));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<std::int8_t>(7 * i - 20);
  }
  return Tensor::FromValues<std::int8_t>(shape, values);
}

std::vector<std::string> OpsOf(const PlainGraph& plain) {
  std::vector<std::string> ops;
  for (const PlainNode& node : plain.nodes) {
    ops.push_back(node.op);
  }
  return ops;
}

Graph Unary(const char* op, const ValueType& type, const Attributes& attributes = {}) {
  Graph graph;
  graph.AddOutput(graph.AddNode(op, "y", {graph.AddInput("x", type)}, attributes));
  return graph;
}

Graph Linear(bool has_bias) {
  Graph graph;
  std::vector<ValueId> inputs = {graph.AddInput("x", Hidden()), graph.AddInitializer("w", Floats({4, 3}))};
  if (has_bias) {
    inputs.push_back(graph.AddInitializer("b", Floats({3})));
  }
  graph.AddOutput(graph.AddNode("laconic.Linear", "y", inputs));
  return graph;
}

Graph Attention(bool has_mask) {
  Graph graph;
  std::vector<ValueId> inputs;
  for (const char* name : {"q", "k", "v"}) {
    inputs.push_back(graph.AddInput(name, Hidden()));
  }
  if (has_mask) {
    inputs.push_back(graph.AddInput("mask", {DType::kBool, {"batch", 1, 1, "sequence"}}));
  }
  const std::int64_t heads = 2;
  graph.AddOutput(
      graph.AddNode("Attention", "y", inputs, {{"q_num_heads", heads}, {"kv_num_heads", heads}, {"scale", 0.25F}}));
  return graph;
}

Graph Int8Attention(bool has_mask) {
  Graph graph;
  std::vector<ValueId> inputs;
  for (const char* name : {"q", "k", "v"}) {
    inputs.push_back(graph.AddInput(name, Hidden()));
  }
  if (has_mask) {
    inputs.push_back(graph.AddInput("mask", {DType::kBool, {"batch", 1, 1, "sequence"}}));
  }
  graph.AddOutput(
      graph.AddNode("laconic.Int8Attention", "y", inputs, {{"num_heads", std::int64_t{2}}, {"scale", 0.25F}}));
  return graph;
}

Graph LayerNorm() {
  Graph graph;
  const ValueId x = graph.AddInput("x", Hidden());
  const ValueId gamma = graph.AddInitializer("gamma", Floats({4}));
  const ValueId beta = graph.AddInitializer("beta", Floats({4}));
  graph.AddOutput(graph.AddNode("LayerNormalization", "y", {x, gamma, beta}));  // epsilon by default
  return graph;
}

Graph MeanPool() {
  Graph graph;
  const ValueId x = graph.AddInput("x", Hidden());
  graph.AddOutput(graph.AddNode("laconic.MeanPool", "y", {x, graph.AddInput("mask", Ids())}));
  return graph;
}

// One table of codes, read twice.
Graph GatherOfCodes() {
  Graph graph;
  const ValueId ids = graph.AddInput("ids", Ids());
  const ValueId codes = graph.AddInitializer("codes", Codes({5, 4}));
  const ValueId scales = graph.AddInitializer("scales", Floats({5}));
  const ValueId table = graph.AddNode("DequantizeLinear", "table", {codes, scales}, {{"axis", std::int64_t{0}}});
  graph.AddOutput(graph.AddNode("Gather", "y", {table, ids}));
  graph.AddOutput(graph.AddNode("Gather", "z", {table, ids}));
  return graph;
}

// Two blocks of two columns.
Graph GatherOfBlocks() {
  Graph graph;
  const ValueId ids = graph.AddInput("ids", Ids());
  const ValueId codes = graph.AddInitializer("codes", Codes({5, 4}));
  const ValueId scales = graph.AddInitializer("scales", Floats({5, 2}));
  const ValueId table = graph.AddNode("DequantizeLinear", "table", {codes, scales},
                                      {{"axis", std::int64_t{1}}, {"block_size", std::int64_t{2}}});
  graph.AddOutput(graph.AddNode("Gather", "y", {table, ids}));
  return graph;
}

Graph IntegerLinears() {
  Graph graph;
  const ValueId x = graph.AddInput("x", Hidden());
  const ValueId codes = graph.AddInitializer("codes", Codes({4, 3}));
  const ValueId scales = graph.AddInitializer("scales", Floats({3}));
  const ValueId rows = graph.AddNode("laconic.DynamicQuantize", "rows", {x});
  const ValueId weight = graph.AddNode("DequantizeLinear", "weight", {codes, scales});
  const ValueId bias = graph.AddInitializer("b", Floats({3}));
  graph.AddOutput(graph.AddNode("laconic.Linear", "y", {rows, weight, bias}));
  graph.AddOutput(graph.AddNode("laconic.Linear", "z", {rows, weight}));
  // The weight's real values as well: then its DequantizeLinear is written too.
  graph.AddOutput(graph.AddNode("laconic.Linear", "real", {x, weight}));
  return graph;
}

std::map<std::string, Graph> SingleNodes() {
  return {
      {"linear", Linear(true)},
      {"linear without bias", Linear(false)},
      {"attention", Attention(true)},
      {"attention without mask", Attention(false)},
      {"int8 attention", Int8Attention(true)},
      {"int8 attention without mask", Int8Attention(false)},
      {"gelu", Unary("Gelu", Hidden())},
      {"tanh gelu", Unary("Gelu", Hidden(), {{"approximate", std::string("tanh")}})},
      {"positions", Unary("laconic.Positions", Ids())},
      {"positions from 2 on", Unary("laconic.Positions", Ids(), {{"offset", std::int64_t{2}}})},
      {"key mask", Unary("laconic.KeyMask", Ids())},
      {"tanh", Unary("Tanh", Hidden())},
      {"relu", Unary("Relu", Hidden())},
      {"cast", Unary("Cast", Ids(), {{"to", std::string("bool")}})},
      {"layer norm", LayerNorm()},
      {"mean pool", MeanPool()},
      {"gather of codes", GatherOfCodes()},
      {"gather of blocks", GatherOfBlocks()},
      {"integer linears", IntegerLinears()},
  };
}

TEST(OpPatternsTest, EachOperatorComesBackAtEachOpset) {
  for (const auto& [name, graph] : SingleNodes()) {
    for (int opset = kMinOnnxOpset; opset <= kMaxOnnxOpset; ++opset) {
      SCOPED_TRACE(name + ", opset " + std::to_string(opset));
      EXPECT_EQ(PrintGraph(Recognise(ToPlainGraph(graph, opset))), PrintGraph(graph));
      EXPECT_EQ(PrintGraph(Recognise(ToPlainGraph(graph, opset, OnnxQuantization::kQOperator))), PrintGraph(graph));
    }
  }
}

TEST(OpPatternsTest, WritesOnlyOperatorsOfTheOpset) {
  const Graph graph = MakeTestGraph({.weights = Weights::kDynamic, .has_int8_attention = true});
  for (int opset = kMinOnnxOpset; opset <= kMaxOnnxOpset; ++opset) {
    SCOPED_TRACE(opset);
    const std::vector<std::string> ops = OpsOf(ToPlainGraph(graph, opset));
    EXPECT_THAT(ops, AllOf(Each(Not(StartsWith("laconic."))), Not(Contains("Attention"))));
    EXPECT_EQ(std::ranges::count(ops, "LayerNormalization") != 0, opset >= 17);
    EXPECT_EQ(std::ranges::count(ops, "Gelu") != 0, opset >= 20);
  }
}

TEST(OpPatternsTest, KeepsInt8WeightsOutOfFloat) {
  const PlainGraph plain = ToPlainGraph(MakeTestGraph({.weights = Weights::kDynamic}), 17);
  EXPECT_THAT(OpsOf(plain), Not(Contains("DequantizeLinear")));
  EXPECT_THAT(OpsOf(plain), Contains("MatMulInteger"));
  EXPECT_THAT(OpsOf(ToPlainGraph(MakeTestGraph({.weights = Weights::kWeightOnly}), 17)), Contains("DequantizeLinear"));
}

TEST(OpPatternsTest, SaysStaticLayersAsAskedFor) {
  const Graph graph = MakeTestGraph({.weights = Weights::kStatic});
  const std::vector<std::string> qdq = OpsOf(ToPlainGraph(graph, 17));
  EXPECT_THAT(qdq, AllOf(Contains("QuantizeLinear"), Contains("DequantizeLinear"), Not(Contains("MatMulInteger"))));
  const std::vector<std::string> integers = OpsOf(ToPlainGraph(graph, 17, OnnxQuantization::kQOperator));
  EXPECT_THAT(integers,
              AllOf(Contains("QuantizeLinear"), Not(Contains("DequantizeLinear")), Contains("MatMulInteger")));
}

// A second DequantizeLinear of the same codes could not be told from the first.
TEST(OpPatternsTest, LeavesRowsThatAreDequantizedTwiceAsTheyAre) {
  Graph graph;
  const ValueId x = graph.AddInput("x", Hidden());
  const std::vector<std::uint8_t> zero = {7};
  const std::vector<float> scale = {0.5F};
  const ValueId scales = graph.AddInitializer("s", Tensor::FromValues<float>({}, scale));
  const ValueId zeros = graph.AddInitializer("z", Tensor::FromValues<std::uint8_t>({}, zero));
  const ValueId q = graph.AddNode("QuantizeLinear", "q", {x, scales, zeros});
  const ValueId weight =
      graph.AddNode("DequantizeLinear", "weight",
                    {graph.AddInitializer("codes", Codes({4, 3})), graph.AddInitializer("t", Floats({3}))});
  for (const char* name : {"a", "b"}) {
    const ValueId rows = graph.AddNode("DequantizeLinear", std::string(name) + "_rows", {q, scales, zeros});
    graph.AddOutput(graph.AddNode("laconic.Linear", name, {rows, weight}));
  }
  const PlainGraph plain = ToPlainGraph(graph, 17, OnnxQuantization::kQOperator);
  EXPECT_THAT(OpsOf(plain), Not(Contains("MatMulInteger")));
  EXPECT_EQ(PrintGraph(Recognise(plain)), PrintGraph(graph));
}

std::string RecognisedText(const PlainGraph& plain) {
  try {
    return PrintGraph(Recognise(plain));
  } catch (const Error& error) {
    return error.what();
  }
}

Tensor WithOneElementChanged(const Tensor& tensor) {
  const auto* bytes = tensor.data();
  std::vector<std::byte> changed(bytes, bytes + tensor.size_bytes());
  changed.at(0) ^= std::byte{1};
  return Tensor::FromBytes(tensor.dtype(), tensor.shape(), changed);
}

// Each smallest change of the plain operators must show in what is recognised (or be refused): nothing that differs
// from a pattern passes for it.
void ExpectChangesToShow(const Graph& graph, int opset) {
  const PlainGraph plain = ToPlainGraph(graph, opset, OnnxQuantization::kQOperator);
  const std::string text = PrintGraph(graph);
  ASSERT_EQ(RecognisedText(plain), text);
  for (std::size_t i = 0; i < plain.values.size(); ++i) {
    SCOPED_TRACE("value " + plain.values[i].name);
    PlainGraph changed = plain;
    if (plain.values[i].is_constant()) {
      changed.values[i].constant = WithOneElementChanged(*plain.values[i].constant);
      EXPECT_NE(RecognisedText(changed), text) << "other constant";
    } else {
      changed.outputs.push_back({static_cast<ValueId>(i), {}});
      EXPECT_NE(RecognisedText(changed), text) << "read elsewhere";
    }
  }
  for (std::size_t i = 0; i < plain.nodes.size(); ++i) {
    const PlainNode& node = plain.nodes[i];
    SCOPED_TRACE("node " + node.name);
    PlainGraph changed = plain;
    changed.nodes[i].op = node.op == "Sub" ? "Div" : "Sub";
    EXPECT_NE(RecognisedText(changed), text) << "other operator";
    changed = plain;
    changed.nodes[i].attributes["axes"] = std::vector<std::int64_t>{0};
    EXPECT_NE(RecognisedText(changed), text) << "other attributes";
    changed = plain;
    std::ranges::reverse(changed.nodes[i].inputs);
    if (changed.nodes[i].inputs != node.inputs) {
      EXPECT_NE(RecognisedText(changed), text) << "inputs the other way round";
    }
    changed.nodes[i].inputs.clear();
    EXPECT_NE(RecognisedText(changed), text) << "no inputs";
  }
}

TEST(RecogniseTest, TakesNothingElseForAPattern) {
  for (const int opset : {14, 18, 23}) {
    SCOPED_TRACE(opset);
    ExpectChangesToShow(MakeTestGraph({.weights = Weights::kDynamic, .num_layers = 1}), opset);
    ExpectChangesToShow(GatherOfBlocks(), opset);
    ExpectChangesToShow(MakeTestGraph({.weights = Weights::kDynamic, .num_layers = 1, .has_int8_attention = true}),
                        opset);
    ExpectChangesToShow(Int8Attention(false), opset);
    ExpectChangesToShow(
        MakeTestGraph({.weights = Weights::kStatic, .num_layers = 1, .codes_dtype = DType::kU8, .is_smoothed = true}),
        opset);
    ExpectChangesToShow(MakeTestGraph({.weights = Weights::kDynamicTensor, .num_layers = 1, .per_channel = false}),
                        opset);
    ExpectChangesToShow(
        MakeTestGraph({.weights = Weights::kDynamic, .num_layers = 1, .codes_dtype = DType::kU8, .per_channel = false}),
        opset);
    ExpectChangesToShow(MakeTestGraph({.is_mean_pooled = true, .approximate = "tanh", .num_layers = 1}), opset);
    ExpectChangesToShow(
        MakeTestGraph({.has_token_types = false, .num_layers = 1, .position_offset = 2, .has_type_row = true}), opset);
  }
}

// As a mask that says for each query which keys count would make it.
TEST(RecogniseTest, Int8AttentionHasAMaskOfKeysOnly) {
  PlainGraph plain = ToPlainGraph(Int8Attention(true), 17);
  ASSERT_EQ(plain.value(plain.inputs[3].value).name, "mask");
  plain.inputs[3].type.shape[2] = Dim("sequence");
  EXPECT_THAT(RecognisedText(plain), AllOf(Not(HasSubstr("laconic.")), HasSubstr("MatMulInteger")));
}

TEST(RecogniseTest, LeavesWhatIsReadElsewhereOutOfALargerPattern) {
  PlainGraph plain = ToPlainGraph(Linear(true), 17);
  ASSERT_EQ(plain.nodes[0].op, "MatMul");
  plain.outputs.push_back({plain.nodes[0].outputs[0], {}});
  EXPECT_THAT(PrintGraph(Recognise(plain)),
              AllOf(HasSubstr("y/MatMul = laconic.Linear(x, w):"), HasSubstr("y = Add(y/MatMul, b):")));
}

TEST(RecogniseTest, TakesOnnxsOwnOperatorsAtAnyOpset) {
  const std::map<std::string, std::pair<Graph, int>> cases = {{"Attention", {Attention(false), 23}},
                                                              {"Gelu", {Unary("Gelu", Hidden()), 20}},
                                                              {"LayerNormalization", {LayerNorm(), 17}}};
  for (const auto& [op, test] : cases) {
    const auto& [graph, since] = test;
    PlainGraph plain;
    plain.opset = since;
    std::vector<ValueId> inputs;
    for (const Value& value : graph.values()) {
      const Tensor* constant = graph.FindInitializer(*graph.FindValue(value.name));
      inputs.push_back(plain.AddValue({value.name, constant == nullptr ? std::nullopt : std::optional(*constant)}));
    }
    for (const ValueId input : graph.inputs()) {
      plain.value(input).is_input = true;
      plain.inputs.push_back({input, graph.value(input).type});
    }
    const ValueId output = inputs.back();
    inputs.pop_back();
    plain.nodes.push_back({op, "", inputs, {output}, graph.nodes()[0].attributes, since});
    plain.outputs.push_back({output, {}});
    EXPECT_EQ(RecognisedText(plain), PrintGraph(graph));
    plain.opset = plain.nodes[0].opset = since - 1;  // ONNX Runtime writes them so
    EXPECT_EQ(RecognisedText(plain), PrintGraph(graph));
  }
}

// One node of a file, of inputs alone.
PlainGraph OneNode(const char* op, const std::vector<ValueType>& inputs, const Attributes& attributes = {}) {
  PlainGraph plain;
  plain.opset = 23;
  PlainNode node{op, "y", {}, {}, attributes, plain.opset};
  for (const ValueType& type : inputs) {
    PlainValue value{"x" + std::to_string(plain.inputs.size())};
    value.is_input = true;
    node.inputs.push_back(plain.AddValue(std::move(value)));
    plain.inputs.push_back({node.inputs.back(), type});
  }
  node.outputs = {plain.AddValue({"y"})};
  plain.outputs.push_back({node.outputs[0], {}});
  plain.nodes.push_back(std::move(node));
  return plain;
}

TEST(RecogniseTest, AttentionOfUnknownWidthStaysWhole) {
  const ValueType heads = {DType::kF32, {"batch", 2, "sequence", "width"}};
  for (const ValueType& query : {ValueType::Unshaped(DType::kF32), heads}) {
    EXPECT_THAT(RecognisedText(OneNode("Attention", {query, query, query}, {{"scale", 0.0F}})),
                AllOf(HasSubstr("y = Attention(x0, x1, x2)"), Not(HasSubstr("MatMul"))));
    EXPECT_THAT(RecognisedText(OneNode("Attention", {query, query, query}, {{"scale", 0.5F}})), HasSubstr("MatMul"));
  }
}

// The fusion passes find out what it hides.
TEST(RecogniseTest, AttentionsFloatMaskIsAdded) {
  const ValueType mask = {DType::kF32, {"batch", 1, 1, "sequence"}};
  const Attributes attributes = {{"q_num_heads", std::int64_t{2}}, {"kv_num_heads", std::int64_t{2}}, {"scale", 0.5F}};
  EXPECT_THAT(RecognisedText(OneNode("Attention", {Hidden(), Hidden(), Hidden(), mask}, attributes)),
              AllOf(HasSubstr("MatMul"), HasSubstr(", x3)"), Not(HasSubstr("Attention"))));
  PlainGraph plain = ToPlainGraph(Attention(true), 17);
  plain.inputs[3].type.dtype = DType::kF32;
  EXPECT_THAT(RecognisedText(plain), HasSubstr("condition: expected bool, got f32"));
}

TEST(RecogniseTest, CastLikeRoundsAsItsLikenessIs) {
  const PlainGraph plain = OneNode("CastLike", {Hidden(), {DType::kF16, {1}}});
  EXPECT_THAT(RecognisedText(plain), HasSubstr("y = Cast(x0) {to = \"f16\"}: f16"));
}

TEST(RecogniseTest, DoesNotDependOnNodeNames) {
  const Graph graph = MakeTestGraph({.weights = Weights::kDynamic});
  PlainGraph plain = ToPlainGraph(graph, 17);
  for (PlainNode& node : plain.nodes) {
    node.name.clear();
  }
  EXPECT_EQ(PrintGraph(Recognise(plain)), PrintGraph(graph));
}

TEST(RecogniseTest, NamesAWeightWhoseNameWasLost) {
  PlainGraph plain = ToPlainGraph(GatherOfCodes(), 17);
  for (PlainValue& value : plain.values) {
    value.doc.clear();
  }
  EXPECT_THAT(PrintGraph(Recognise(plain)),
              HasSubstr("codes.dequantized = DequantizeLinear(codes, scales) {axis = 0}"));
}

TEST(RecogniseTest, NamesTheNodeThatItDoesNotKnow) {
  PlainGraph plain = ToPlainGraph(Unary("Tanh", Hidden()), 17);
  plain.nodes[0].op = "Det";
  EXPECT_THAT(ErrorOf(ErrorCode::kUnsupported, [&] { Recognise(plain); }),
              AllOf(HasSubstr("Det"), HasSubstr("node 'y'")));
}

void ExpectRefused(const Graph& graph, const std::string& message, int opset = 17) {
  EXPECT_THAT(ErrorOf(ErrorCode::kUnsupported, [&] { ToPlainGraph(graph, opset); }), HasSubstr(message));
}

TEST(OpPatternsTest, RefusesWhatItCannotSay) {
  Graph grouped;
  const ValueId q = grouped.AddInput("q", Hidden());
  const ValueId k = grouped.AddInput("k", {DType::kF32, {"batch", "sequence", 2}});
  grouped.AddOutput(
      grouped.AddNode("Attention", "grouped", {q, k, k},
                      {{"q_num_heads", std::int64_t{2}}, {"kv_num_heads", std::int64_t{1}}, {"scale", 1.0F}}));
  ExpectRefused(grouped, "node 'grouped'");

  Graph loose;
  const ValueId rows = loose.AddNode("laconic.DynamicQuantize", "rows", {loose.AddInput("x", Hidden())});
  loose.AddOutput(loose.AddNode("Relu", "y", {rows}));
  ExpectRefused(loose, "node 'rows'");

  Graph copied;
  copied.AddOutput(copied.AddInput("x", Hidden()));
  ExpectRefused(copied, "output 'x'");
}

// ONNX's Where chooses by bools, and heads that are an axis of their own are split already.
TEST(OpPatternsTest, OnlySomeAttentionHasAPattern) {
  for (const bool is_flat : {false, true}) {
    SCOPED_TRACE(is_flat);
    Graph graph;
    std::vector<ValueId> inputs(3,
                                graph.AddInput("x", is_flat ? Hidden() : ValueType{DType::kF32, {"batch", 2, "s", 4}}));
    Attributes attributes = {{"scale", 0.5F}};
    if (is_flat) {
      attributes.insert({{"q_num_heads", std::int64_t{2}}, {"kv_num_heads", std::int64_t{2}}});
      inputs.push_back(graph.AddInput("mask", {DType::kF32, {"batch", 1, 1, "sequence"}}));
    }
    graph.AddOutput(graph.AddNode("Attention", "y", inputs, attributes));
    EXPECT_THAT(OpsOf(ToPlainGraph(graph, 23)), ::testing::ElementsAre("Attention"));
    ExpectRefused(graph, "no way to write this Attention at opset 22", 22);
  }
}

TEST(OpPatternsTest, RefusesWhatTheOpsetLacks) {
  const auto graph_of = [](const char* op, std::vector<Tensor> constants, const Attributes& attributes) {
    Graph graph;
    std::vector<ValueId> inputs = {graph.AddInput("x", {DType::kF32, {4, 4}})};
    for (Tensor& tensor : constants) {
      inputs.push_back(graph.AddInitializer("c" + std::to_string(inputs.size()), std::move(tensor)));
    }
    graph.AddOutput(graph.AddNode(op, "y", inputs, attributes));
    return graph;
  };
  const auto integers = [](const Shape& shape, const std::vector<std::int64_t>& values) {
    return Tensor::FromValues<std::int64_t>(shape, values);
  };
  const Graph padded = graph_of("Pad", {integers({2}, {1, 1}), Floats({}), integers({1}, {0})}, {});
  const Graph wrapped = graph_of("Pad", {integers({4}, {1, 1, 1, 1})}, {{"mode", std::string("wrap")}});
  const Graph largest =
      graph_of("ScatterND", {integers({1, 1}, {0}), Floats({1, 4})}, {{"reduction", std::string("max")}});
  const Graph codes =
      graph_of("QuantizeLinear", {Floats({}), Tensor::FromValues<std::int16_t>({}, std::vector<std::int16_t>{0})}, {});
  ExpectRefused(codes, "input 2 (s16) of QuantizeLinear needs opset 21, got 20", 20);
  ExpectRefused(padded, "input 3 (s64) of Pad needs opset 18, got 17", 17);
  ExpectRefused(wrapped, "attribute 'mode' = 'wrap' of Pad needs opset 19, got 18", 18);
  ExpectRefused(largest, "attribute 'reduction' = 'max' of ScatterND needs opset 18, got 17", 17);
  ExpectRefused(largest, "attribute 'reduction' = 'max' of ScatterND needs opset 18, got 15", 15);
  EXPECT_EQ(ToPlainGraph(padded, 18).nodes.size() + ToPlainGraph(wrapped, 19).nodes.size() +
                ToPlainGraph(largest, 18).nodes.size(),
            3U);
  EXPECT_EQ(ToPlainGraph(codes, 21).nodes.size(), 1U);

  Graph any;
  const ValueId flags = any.AddInput("x", {DType::kBool, {4, 4}});
  any.AddOutput(any.AddNode("ReduceMax", "y", {flags}));
  ExpectRefused(any, "input 0 (bool) of ReduceMax needs opset 20, got 19", 19);
  EXPECT_EQ(ToPlainGraph(any, 20).nodes.size(), 1U);

  const Attributes attributes = {
      {"q_num_heads", std::int64_t{2}}, {"kv_num_heads", std::int64_t{2}}, {"left_window_size", std::int64_t{1}}};
  Graph window;
  const ValueId x = window.AddInput("x", Hidden());
  window.AddOutput(window.AddNode("Attention", "y", {x, x, x}, attributes));
  ExpectRefused(window, "attribute 'left_window_size' of Attention needs opset 25, got 23", 23);
}

TEST(OpPatternsTest, OldSplitsOfUnequalPartsHaveSizes) {
  for (const std::int64_t width : {6, 7}) {
    Graph graph;
    const ValueId x = graph.AddInput("x", {DType::kF32, {"batch", width}});
    const Attributes attributes = {{"axis", std::int64_t{-1}}, {"num_outputs", std::int64_t{3}}};
    for (const ValueId part : graph.AddNode("Split", {"a", "b", "c"}, {x}, attributes)) {
      graph.AddOutput(part);
    }
    EXPECT_EQ(ToPlainGraph(graph, 18).nodes[0].inputs.size(), 1U);
    const PlainGraph old = ToPlainGraph(graph, 17);
    ASSERT_EQ(old.nodes[0].inputs.size(), width == 6 ? 1U : 2U);
    if (width == 7) {
      EXPECT_THAT(old.value(old.nodes[0].inputs[1]).constant->values<std::int64_t>(), ::testing::ElementsAre(3, 3, 1));
    }
  }
}

TEST(ColumnSumsTest, AddUpTheRows) {
  const std::vector<std::int8_t> codes = {1, -128, 127, -3, 5, 100};
  const Tensor matrix = Tensor::FromValues<std::int8_t>({3, 2}, codes);
  EXPECT_THAT(MakeColumnSums(matrix).values<std::int32_t>(), ::testing::ElementsAre(133, -31));
  EXPECT_THAT(MakeColumnSums(matrix.Transposed()).values<std::int32_t>(), ::testing::ElementsAre(-127, 124, 105));
  const std::vector<std::int8_t> zeros = {3, -1};
  const Tensor zero_points = Tensor::FromValues<std::int8_t>({2}, zeros);
  EXPECT_THAT(MakeColumnSums(matrix, &zero_points).values<std::int32_t>(), ::testing::ElementsAre(133 - 9, -31 + 3));
}

// A pattern gives one value: where others are read, the operator itself is needed.
TEST(OpPatternsTest, FurtherOutputsNeedTheOperatorItself) {
  Graph graph;
  const ValueId x = graph.AddInput("x", {DType::kF32, {"rows", 2}});
  const ValueId row = graph.AddInitializer("row", Tensor::FromValues<float>({2}, std::vector<float>{1, 2}));
  const std::vector<std::string> names = {"y", "mean"};
  const std::vector<ValueId> outputs = graph.AddNode("LayerNormalization", names, {x, row, row});
  graph.AddOutput(graph.AddNode("Add", "sum", {outputs[0], outputs[1]}));
  EXPECT_EQ(ToPlainGraph(graph, 17).nodes.size(), 2U);
  EXPECT_EQ(ErrorOf([&] { ToPlainGraph(graph, 16); }),
            "unsupported: no way to write 'mean', a further output of LayerNormalization, at opset 16\n"
            "  in node 'sum'");
}

}  // namespace
}  // namespace laconic::onnx_file
