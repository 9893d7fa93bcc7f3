#include "graph/text_form.h"

#include <gtest/gtest.h>

#include "laconic/error.h"

namespace laconic {
namespace {

Graph Example() {
  Graph graph;
  const ValueId x = graph.AddInput("x", {DType::kF32, {"batch", 2}});
  const ValueId weight =
      graph.AddInitializer("weight", Tensor::FromValues<float>({2, 2}, std::vector<float>{1, 2, 3, 4}));
  const ValueId gamma = graph.AddInitializer("gamma", Tensor::FromValues<float>({2}, std::vector<float>{1, 1}));
  const ValueId y = graph.AddNode("laconic.Linear", "y", {x, weight});
  const ValueId gelu = graph.AddNode("Gelu", "odd name: 1", {y}, {{"approximate", std::string("tanh")}});
  graph.AddOutput(graph.AddNode("LayerNormalization", "z", {gelu, gamma, gamma}, {{"epsilon", 1e-12F}}));
  return graph;
}

Tensor FromExample(std::string_view name, DType, const Shape&) {
  static const Graph example = Example();
  return *example.FindInitializer(*example.FindValue(name));
}

TEST(TextFormTest, RoundTrips) {
  const std::string text = PrintGraph(Example());
  EXPECT_EQ(PrintGraph(ParseGraph(text, FromExample)), text);
  EXPECT_NE(text.find("\"odd name: 1\" = Gelu(y) {approximate = \"tanh\"}: f32[batch, 2]\n"), std::string::npos)
      << text;
  EXPECT_NE(text.find("{epsilon = 1e-12}"), std::string::npos) << text;
}

TEST(TextFormTest, SaysSeveralOutputsAndUnknownShapes) {
  const std::string text =
      "input x: f32[batch, \"2 * n\", 8]\n"
      "input odd: s32[\"1\\\\ \\\"n\\\"\"]\n"  // starts like a number, and has to be escaped
      "input ids: s64[batch, ?]\n"
      "values, _, \"_\" = DynamicQuantizeLinear(x): u8[batch, \"2 * n\", 8], _, u8[]\n"
      "same = Reshape(x, ids): f32[...]\n"
      "sum = Add(x, x): f32[batch, \"2 * n\", 8]\n"
      "output \"_\"\n";
  std::string quoted = text;  // an unknown size is written as a name in quotes
  quoted.replace(quoted.find('?'), 1, "\"?\"");
  EXPECT_EQ(PrintGraph(ParseGraph(quoted, FromExample)), quoted);
}

TEST(TextFormTest, RefusesMalformedText) {
  for (const std::string_view text :
       {"y = Gelu(x): f32[2]", "input x f32[2]", "input x: f99[2]", "input x: f32[2\n", "input x: f32[2]\noutput y",
        "input x: f32[2]\ny = Gelu(x): f32[3]", "input x: f32[2]\ny = Gelu(x) {a = 1..2}: f32[2]", "const c: f32[n] #0",
        "const weight: f32[2, 2] #0000000000000000", "\"", "input x: f32[99999999999999999999]"}) {
    EXPECT_THROW(ParseGraph(text, FromExample), Error) << text;
  }
}

TEST(TextFormTest, TheDigestFollowsTheElementsNotTheLayout) {
  const Tensor tensor = Tensor::FromValues<float>({2, 2}, std::vector<float>{1, 3, 2, 4}).Transposed();
  EXPECT_EQ(TensorDigest(tensor), TensorDigest(FromExample("weight", DType::kF32, {2, 2})));
  EXPECT_NE(TensorDigest(tensor), TensorDigest(tensor.Transposed()));
}

}  // namespace
}  // namespace laconic
