#include "graph/graph.h"

#include <cmath>

#include <gtest/gtest.h>

#include "base/testing.h"
#include "laconic/error.h"

namespace laconic {
namespace {

Tensor Zeros(const Shape& shape) {
  return Tensor::FromValues<float>(shape, std::vector<float>(static_cast<std::size_t>(NumElements(shape))));
}

TEST(GraphTest, InfersTypes) {
  Graph graph;
  const ValueId ids = graph.AddInput("ids", {DType::kS64, {"batch", "sequence"}});
  const ValueId table = graph.AddInitializer("table", Zeros({10, 8}));
  const ValueId hidden = graph.AddNode("Gather", "hidden", {table, ids});
  const ValueId weight = graph.AddInitializer("weight", Zeros({8, 3}));
  const ValueId out = graph.AddNode("laconic.Linear", "out", {hidden, weight});
  EXPECT_EQ(ToString(graph.value(out).type), "f32[batch, sequence, 3]");
  EXPECT_EQ(graph.name(*graph.FindProducer(out)), "out");
  EXPECT_EQ(graph.FindProducer(table), nullptr);
}

TEST(GraphTest, RefusesWhatTheSchemaRefuses) {
  Graph graph;
  const ValueId x = graph.AddInput("x", {DType::kF32, {"batch", 8}});
  const ValueId weight = graph.AddInitializer("weight", Zeros({7, 3}));
  EXPECT_THROW(graph.AddNode("laconic.Linear", "a", {x, weight}), Error);
  EXPECT_THROW(graph.AddNode("Conv", "b", {x}), Error);
  EXPECT_THROW(graph.AddNode("Gelu", "c", {x, x}), Error);
  EXPECT_THROW(graph.AddNode("Gelu", "d", {x}, {{"approximation", std::string("tanh")}}), Error);
  EXPECT_THROW(graph.AddNode("Gelu", "e", {x}, {{"approximate", std::int64_t{1}}}), Error);
  EXPECT_THROW(graph.AddNode("Attention", "f", {x, x, x}), Error);
  EXPECT_THROW(graph.AddNode("Gelu", "x", {x}), Error) << "the name is taken";
}

std::string MessageOf(Graph* graph, const char* op, const std::vector<ValueId>& inputs,
                      const Attributes& attributes = {}) {
  return ErrorOf([&] { graph->AddNode(op, "bad", inputs, attributes); });
}

TEST(GraphTest, InputsOfAnyNumberAreAllThere) {
  Graph graph;
  const ValueId x = graph.AddInput("x", {DType::kF32, {"batch", 8}});
  for (const char* op : {"Concat", "Max", "Mean", "Min", "Sum"}) {
    const Attributes attributes = op == std::string("Concat") ? Attributes{{"axis", std::int64_t{0}}} : Attributes();
    EXPECT_EQ(MessageOf(&graph, op, {x, kNoValue, x}, attributes),
              "invalid file: input 1 of " + std::string(op) + " is missing\n  in node 'bad'");
  }
}

TEST(GraphTest, ABiasFitsItsWeightWhateverElseIsKnown) {
  Graph graph;
  const ValueId x = graph.AddInput("x", {DType::kF32, {"batch", 8}});
  const ValueId unshaped = graph.AddInput("unshaped", ValueType::Unshaped(DType::kF32));
  const ValueId weight = graph.AddInitializer("weight", Zeros({8, 3}));
  const ValueId one = graph.AddInitializer("one", Zeros({1}));
  for (const ValueId input : {x, unshaped}) {
    EXPECT_EQ(MessageOf(&graph, "laconic.Linear", {input, weight, one}),
              "invalid file: bias: expected 3, got 1\n  in node 'bad'");
  }
  const ValueId y = graph.AddNode("laconic.Linear", "y", {x, weight, unshaped});
  EXPECT_EQ(ToString(graph.value(y).type), "f32[batch, 3]");
}

TEST(GraphTest, SaysWhichTypesDoNotFit) {
  Graph graph;
  const ValueId x = graph.AddInput("x", {DType::kF32, {"batch", 8}});
  const ValueId wide = graph.AddInput("wide", {DType::kF64, {8, 8}});
  EXPECT_EQ(MessageOf(&graph, "Softmax", {x}, {{"axis", 1.0F}}),
            "invalid file: attribute 'axis' of Softmax: expected an integer, got a float\n  in node 'bad'");
  EXPECT_EQ(MessageOf(&graph, "Gemm", {x, wide}), "invalid file: B: expected f32, got f64[8, 8]\n  in node 'bad'");
  EXPECT_EQ(MessageOf(&graph, "Gemm", {x, x, wide}), "invalid file: C: expected f32, got f64[8, 8]\n  in node 'bad'");
  EXPECT_EQ(MessageOf(&graph, "PRelu", {x, wide}), "invalid file: slope: expected f32, got f64[8, 8]\n  in node 'bad'");
  EXPECT_EQ(MessageOf(&graph, "RMSNormalization", {x, wide}),
            "invalid file: scale: expected f32, got f64[8, 8]\n  in node 'bad'");
  EXPECT_EQ(MessageOf(&graph, "QuantizeLinear", {x, wide}),
            "invalid file: scale: expected f32, got f64[8, 8]\n  in node 'bad'");
  for (const std::size_t scale : {1U, 4U, 6U}) {
    std::vector<ValueId> inputs(8, x);
    inputs[scale] = wide;
    EXPECT_EQ(MessageOf(&graph, "QLinearMatMul", inputs),
              "invalid file: scale: expected f32, got f64[8, 8]\n  in node 'bad'");
  }
}

// Of heads as an axis of their own less is known than of flat ones.
TEST(GraphTest, AttentionsRowsAreOfOneType) {
  Graph graph;
  const ValueId rows = graph.AddInput("rows", {DType::kF32, {1, 2, "length", 4}});
  const ValueId codes = graph.AddInput("codes", {DType::kU8, {1, 2, "length", 4}});
  for (const std::size_t odd : {1U, 2U, 4U, 5U}) {
    std::vector<ValueId> inputs = {rows, rows, rows, kNoValue, rows, rows};
    inputs[odd] = codes;
    EXPECT_EQ(MessageOf(&graph, "Attention", inputs),
              "invalid file: " + std::string(odd < 3 ? "query, key" : "past key") +
                  " or value: expected f32, got u8[1, 2, length, 4]\n"
                  "  in node 'bad'");
  }
}

TEST(GraphTest, ScalesOfBlocksFitTheCodes) {
  Graph graph;
  const std::vector<std::int8_t> values(40);
  const ValueId codes = graph.AddInitializer("codes", Tensor::FromValues<std::int8_t>({2, 20}, values));
  const auto dequantize = [&](const char* name, const Shape& scale, std::int64_t axis, std::int64_t block) {
    const ValueId scales = graph.AddInitializer(std::string(name) + "_scale", Zeros(scale));
    return graph.AddNode("DequantizeLinear", name, {codes, scales}, {{"axis", axis}, {"block_size", block}});
  };
  EXPECT_EQ(ToString(graph.value(dequantize("short", {2, 3}, 1, 8)).type), "f32[2, 20]");
  EXPECT_EQ(ToString(graph.value(dequantize("first", {1, 20}, -2, 2)).type), "f32[2, 20]");
  EXPECT_THROW(dequantize("few", {2, 2}, 1, 8), Error);
  EXPECT_THROW(dequantize("rows", {3, 3}, 1, 8), Error);
  EXPECT_THROW(dequantize("flat", {2}, 1, 20), Error);
  EXPECT_THROW(dequantize("negative", {2, 3}, 1, -8), Error);
}

TEST(GraphTest, ChecksTheGranularity) {
  Graph graph;
  const ValueId x = graph.AddInput("x", {DType::kF32, {"batch", 8}});
  EXPECT_THROW(graph.AddNode("laconic.DynamicQuantize", "a", {x}, {{"granularity", std::string("column")}}), Error);
  const ValueId q = graph.AddNode("laconic.DynamicQuantize", "b", {x}, {{"granularity", std::string("tensor")}});
  EXPECT_EQ(ToString(graph.value(q).type), "f32[batch, 8]");
}

TEST(GraphTest, Int8AttentionSaysWhatDoesNotFit) {
  Graph graph;
  const ValueId query = graph.AddInput("query", {DType::kF32, {"batch", 2, 12}});
  const ValueId key = graph.AddInput("key", {DType::kF32, {"batch", "keys", 12}});
  const ValueId mask = graph.AddInput("mask", {DType::kBool, {"batch", 1, 1, "keys"}});
  const Attributes attributes = {{"num_heads", std::int64_t{3}}, {"scale", .5F}};
  const auto message = [&](const std::vector<ValueId>& inputs, const Attributes& given) {
    return MessageOf(&graph, "laconic.Int8Attention", inputs, given);
  };
  const auto refuses = [&](const std::vector<ValueId>& inputs, const Attributes& given, const char* expected) {
    const std::string got = message(inputs, given);
    EXPECT_NE(got.find(expected), std::string::npos) << got;
  };
  const ValueId masked = graph.AddNode("laconic.Int8Attention", "masked", {query, key, key, mask}, attributes);
  EXPECT_EQ(ToString(graph.value(masked).type), "f32[batch, 2, 12]");
  EXPECT_EQ(message({query, key, key}, attributes), "no error");
  const ValueId codes = graph.AddInput("codes", {DType::kS8, {"batch", "keys", 12}});
  const ValueId flat = graph.AddInput("flat", {DType::kF32, {"batch", 12}});
  const ValueId narrow = graph.AddInput("narrow", {DType::kF32, {"batch", "keys", 6}});
  const ValueId short_key = graph.AddInput("short", {DType::kF32, {"batch", "others", 12}});
  const ValueId full_mask = graph.AddInput("full", {DType::kBool, {"batch", 1, 2, "keys"}});
  refuses({query, key, codes}, attributes, "value: expected f32, got s8[batch, keys, 12]");
  refuses({flat, key, key}, attributes, "query: expected 3 dimensions, got f32[batch, 12]");
  refuses({query, narrow, key}, attributes, "width of key: expected 12, got 6");
  refuses({query, key, short_key}, attributes, "length of value: expected keys, got others");
  refuses({query, key, key, full_mask}, attributes, "mask, dimension 2: expected 1, got 2");
  const ValueId queries_mask = graph.AddInput("of_queries", {DType::kBool, {"batch", 1, "queries", "keys"}});
  refuses({query, key, key, queries_mask}, attributes, "mask, dimension 2: expected 1, got queries");
  refuses({query, key, key, key}, attributes, "mask: expected bool, got f32[batch, keys, 12]");
  refuses({query, key}, attributes, "inputs");
  refuses({query, key, key}, {{"scale", .5F}}, "num_heads");
  refuses({query, key, key}, {{"num_heads", std::int64_t{3}}}, "scale");
  refuses({query, key, key}, {{"num_heads", std::int64_t{5}}, {"scale", .5F}}, "a width that 5 heads divide, got f32[");
  refuses({query, key, key}, {{"num_heads", std::int64_t{0}}, {"scale", .5F}},
          "'num_heads': expected at least 1, got 0");
  refuses({query, key, key}, {{"num_heads", std::int64_t{3}}, {"scale", -.5F}}, "above 0, got -0.5");
  refuses({query, key, key}, {{"num_heads", std::int64_t{3}}, {"scale", NAN}}, "above 0, got nan");
}

TEST(GraphTest, ADefaultAttributeIsTheSameAsNone) {
  Graph graph;
  const ValueId x = graph.AddInput("x", {DType::kF32, {"batch", 8}});
  graph.AddNode("Gelu", "y", {x}, {{"approximate", std::string("none")}});
  EXPECT_TRUE(graph.nodes()[0].attributes.empty());
  EXPECT_EQ(StringAttribute(graph.nodes()[0], "approximate"), "none");
}

}  // namespace
}  // namespace laconic
