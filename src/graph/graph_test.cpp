#include "graph/graph.h"

#include <gtest/gtest.h>

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

TEST(GraphTest, ADefaultAttributeIsTheSameAsNone) {
  Graph graph;
  const ValueId x = graph.AddInput("x", {DType::kF32, {"batch", 8}});
  graph.AddNode("Gelu", "y", {x}, {{"approximate", std::string("none")}});
  EXPECT_TRUE(graph.nodes()[0].attributes.empty());
  EXPECT_EQ(StringAttribute(graph.nodes()[0], "approximate"), "none");
}

}  // namespace
}  // namespace laconic
