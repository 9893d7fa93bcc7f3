#include "interpreter/interpreter.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "base/testing.h"
#include "interpreter/op.h"
#include "quant/dynamic.h"
#include "quant/int8_attention.h"
#include "quant/weights.h"

namespace laconic {
namespace {

Tensor F32(const Shape& shape, const std::vector<float>& values) { return Tensor::FromValues<float>(shape, values); }
Tensor S64(const Shape& shape, const std::vector<std::int64_t>& values) {
  return Tensor::FromValues<std::int64_t>(shape, values);
}

std::vector<float> Values(const Tensor& tensor) {
  const Tensor flat = tensor.Contiguous();
  return {flat.values<float>().begin(), flat.values<float>().end()};
}

std::string MessageOf(const Graph& graph, const std::map<ValueId, Tensor>& inputs, const InterpreterOptions& options) {
  return ErrorOf([&] { Interpret(graph, inputs, options); });
}

TEST(InterpreterTest, ComputesOnlyWhatIsWanted) {
  Graph graph;
  const ValueId x = graph.AddInput("x", {DType::kF32, {2}});
  const ValueId unused = graph.AddInput("unused", {DType::kF32, {2}});
  const ValueId exp = graph.AddNode("Exp", "exp", {x});
  const ValueId sum = graph.AddNode("Add", "sum", {exp, x});
  graph.AddOutput(graph.AddNode("Mul", "product", {sum, unused}));
  const std::array wanted = {sum, x};
  const std::vector<Tensor> results = Interpret(graph, {{x, F32({2}, {0, 1})}}, wanted);
  EXPECT_EQ(Values(results[0]), (std::vector<float>{1, std::exp(1.0F) + 1}));
  EXPECT_EQ(Values(results[1]), (std::vector<float>{0, 1}));
  // A value that is given is not computed.
  const std::array only_sum = {sum};
  EXPECT_EQ(Values(Interpret(graph, {{x, F32({2}, {0, 1})}, {exp, F32({2}, {5, 6})}}, only_sum)[0]),
            (std::vector<float>{5, 7}));
  EXPECT_EQ(MessageOf(graph, {{x, F32({2}, {0, 1})}}, {}),
            "invalid argument: no input 'unused' is given\n  in node 'product' (Mul)");
  EXPECT_EQ(MessageOf(graph, {{x, F32({3}, {0, 1, 2})}}, {}), "invalid argument: 'x': expected f32[2], got f32[3]");
}

TEST(InterpreterTest, HasEveryOperatorOfTheGraph) {
  for (const std::string_view op : OpNames()) {
    EXPECT_NO_THROW(interpreter::FindEntry(op)) << op;
  }
}

TEST(InterpreterTest, ReadsStridedInputs) {
  Graph graph;
  const ValueId x = graph.AddInput("x", {DType::kF32, {3, 2}});
  const ValueId y = graph.AddInput("y", {DType::kF32, {3, 1}});
  graph.AddOutput(graph.AddNode("Sub", "difference", {x, y}));
  const Tensor transposed = F32({2, 3}, {1, 2, 3, 4, 5, 6}).Transposed();
  EXPECT_EQ(Values(Interpret(graph, {{x, transposed}, {y, F32({3, 1}, {1, 2, 3})}})[0]),
            (std::vector<float>{0, 3, 0, 3, 0, 3}));
}

// An operator of constants, as a file may have it.
Graph OneNode(const std::string& op, const std::string& name, const std::vector<Tensor>& inputs,
              const Attributes& attributes) {
  Graph graph;
  std::vector<ValueId> ids;
  ids.reserve(inputs.size());
  for (const Tensor& tensor : inputs) {
    ids.push_back(graph.AddInitializer("input " + std::to_string(ids.size()), tensor));
  }
  graph.AddOutput(graph.AddNode(op, name, ids, attributes));
  return graph;
}

// Each of these would take terabytes.
TEST(InterpreterTest, RefusesHugeResultsBeforeTheyAreAllocated) {
  constexpr std::int64_t kHuge = std::int64_t{1} << 40;
  const InterpreterOptions options = {.max_value_bytes = 1 << 20};
  const auto refused = [&](const std::string& op, const std::vector<Tensor>& inputs, const Attributes& attributes) {
    return MessageOf(OneNode(op, "huge", inputs, attributes), {}, options);
  };
  const Tensor one = F32({1}, {1});
  const Tensor rows = F32({kHuge, 0}, {});
  const Tensor heads = F32({1, 1, kHuge, 0}, {});
  const std::vector<std::pair<std::string, std::string>> messages = {
      {"Expand", refused("Expand", {one, S64({1}, {kHuge})}, {})},
      {"Tile", refused("Tile", {one, S64({1}, {kHuge})}, {})},
      {"Range", refused("Range", {S64({}, {0}), S64({}, {kHuge}), S64({}, {1})}, {})},
      {"Pad", refused("Pad", {one, S64({2}, {0, kHuge})}, {})},
      {"OneHot", refused("OneHot", {S64({1}, {0}), S64({1}, {kHuge}), F32({2}, {0, 1})}, {})},
      {"LayerNormalization", refused("LayerNormalization", {rows, F32({0}, {})}, {})},
      {"laconic.DynamicQuantize", refused("laconic.DynamicQuantize", {rows}, {})},
      {"Attention", refused("Attention", {heads, F32({1, 1, 1, 0}, {}), F32({1, 1, 1, 0}, {})}, {})},
  };
  for (const auto& [op, message] : messages) {
    EXPECT_NE(message.find("out of resources: a result of shape ["), std::string::npos) << message;
    EXPECT_NE(message.find("is over the limit of 1048576 bytes\n  in node 'huge' (" + op + ")"), std::string::npos)
        << message;
  }
}

TEST(InterpreterTest, RefusesWhatWouldReadPastItsInputs) {
  const Tensor matrix = F32({2, 2}, {1, 2, 3, 4});
  const auto refused = [&](const std::string& op, const std::vector<Tensor>& inputs) {
    return MessageOf(OneNode(op, "odd", inputs, {}), {}, {});
  };
  EXPECT_EQ(refused("Slice", {matrix, S64({2}, {1, 1}), S64({2}, {2, 2}), S64({2}, {0, 0})}),
            "invalid file: axis 0 is there twice\n  in node 'odd' (Slice)");
  EXPECT_EQ(refused("Gemm", {matrix, matrix, F32({3}, {1, 2, 3})}),
            "invalid file: shapes do not broadcast: [2, 2] to [2, 3]\n  in node 'odd' (Gemm)");
  EXPECT_EQ(refused("Gemm", {matrix, matrix, F32({2, 1, 2}, {1, 2, 3, 4})}),
            "invalid file: expected a shape that broadcasts to [2, 2], got [2, 1, 2]\n  in node 'odd' (Gemm)");
}

// A Reshape's result has no shape before the graph runs, so that no schema has looked at these.
TEST(InterpreterTest, RefusesIntegerLinearsWhosePartsDoNotFit) {
  const auto refused = [](const Tensor& weight, const Tensor& scale, const Tensor& zero_point, const Tensor& bias) {
    Graph graph;
    const auto hide = [&](const std::string& name, const Tensor& tensor) {
      const auto rank = static_cast<std::int64_t>(tensor.shape().size());
      const ValueId shape = graph.AddInitializer(name + "_shape", S64({rank}, tensor.shape()));
      return graph.AddNode("Reshape", name, {graph.AddInitializer(name + "_values", tensor), shape});
    };
    const ValueId x =
        graph.AddNode("laconic.DynamicQuantize", "x", {graph.AddInitializer("rows", F32({1, 2}, {1, 2}))});
    const ValueId w = graph.AddNode("DequantizeLinear", "w",
                                    {hide("codes", weight), hide("scale", scale), hide("zero_point", zero_point)});
    graph.AddOutput(graph.AddNode("laconic.Linear", "y", {x, w, hide("bias", bias)}));
    return MessageOf(graph, {}, {});
  };
  const auto codes = [](const Shape& shape) {
    const std::vector<std::int8_t> values(static_cast<std::size_t>(NumElements(shape)));
    return Tensor::FromValues<std::int8_t>(shape, values);
  };
  const Tensor weight = codes({2, 3});
  const Tensor zero = codes({});
  const Tensor scale = F32({}, {1});
  const Tensor bias = F32({3}, {1, 2, 3});
  const std::string frame = "\n  in node 'y' (laconic.Linear)";
  EXPECT_EQ(refused(weight, scale, zero, bias), "no error");
  EXPECT_EQ(refused(weight, F32({3}, {1, 2, 3}), codes({3}), bias), "no error");
  EXPECT_EQ(refused(weight, scale, zero, F32({1}, {1})), "invalid file: bias: expected [3], got [1]" + frame);
  EXPECT_EQ(refused(weight, F32({2}, {1, 2}), zero, bias),
            "invalid file: zero point: expected the scale's shape [2], got []" + frame);
  EXPECT_EQ(refused(weight, F32({2, 1}, {1, 2}), codes({2, 1}), bias),
            "invalid file: weight's scale: expected [3] or one number, got [2, 1]" + frame);
  EXPECT_EQ(refused(codes({1, 2, 3}), scale, zero, bias),
            "invalid file: weight: expected 2 dimensions, got [1, 2, 3]" + frame);
}

TEST(InterpreterTest, LeavesOutOutputsThatANodeDoesNotName) {
  const Graph top = OneNode("TopK", "y", {F32({3}, {1, 3, 2}), S64({1}, {2})}, {});
  EXPECT_EQ(Values(Interpret(top, {})[0]), (std::vector<float>{3, 2}));
  const Graph codes = OneNode("DynamicQuantizeLinear", "y", {F32({2}, {0, 255})}, {});
  EXPECT_EQ(Interpret(codes, {})[0].values<std::uint8_t>()[1], 255);
}

TEST(InterpreterTest, SaysWhichElementTypesAttentionLacks) {
  const Tensor rows = Tensor::FromValues<double>({1, 1, 2, 1}, std::vector<double>{1, 2});
  EXPECT_EQ(MessageOf(OneNode("Attention", "y", {rows, rows, rows}, {}), {}, {}),
            "unsupported: not implemented for element type f64\n  in node 'y' (Attention)");
}

// The largest window is none.
TEST(InterpreterTest, AttentionWindowsOfAnySize) {
  const Tensor rows = F32({1, 2, 1}, {1, 2});
  const auto answer = [&](std::int64_t left, std::int64_t right) {
    return Values(Interpret(OneNode("Attention", "y", {rows, rows, rows},
                                    {{"q_num_heads", std::int64_t{1}},
                                     {"kv_num_heads", std::int64_t{1}},
                                     {"left_window_size", left},
                                     {"right_window_size", right}}),
                            {})[0]);
  };
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(answer(kMost, kMost), answer(-1, -1));
  EXPECT_EQ(answer(0, 0), (std::vector<float>{1, 2}));
}

TEST(InterpreterTest, NamesTheNodeOfABadValue) {
  Graph graph;
  const ValueId table = graph.AddInitializer("table", F32({2, 1}, {1, 2}));
  const ValueId ids = graph.AddInput("ids", {DType::kS64, {"n"}});
  graph.AddOutput(graph.AddNode("Gather", "row", {table, ids}));
  EXPECT_EQ(MessageOf(graph, {{ids, S64({1}, {2})}}, {}),
            "invalid argument: index 2 is outside 2 elements\n  in node 'row' (Gather)");
}

// Two texts and two heads: each head of each text is quant::Int8Attention of the keys that the mask shows.
TEST(InterpreterTest, Int8AttentionTakesEachHeadOfEachTextAlone) {
  constexpr std::int64_t kQueries = 2;
  constexpr std::int64_t kKeys = 5;
  constexpr std::int64_t kWidth = 4;
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  const auto make = [&](std::int64_t length) {
    std::vector<float> values(static_cast<std::size_t>(2 * length * 2 * kWidth));
    std::ranges::generate(values, [&] { return normal(random); });
    return F32({2, length, 2 * kWidth}, values);
  };
  const std::vector<Tensor> inputs = {make(kQueries), make(kKeys), make(kKeys)};
  const std::vector<std::int64_t> seen = {1, 0, 1, 1, 0, 0, 0, 0, 0, 0};
  Graph graph;
  std::map<ValueId, Tensor> values;
  std::vector<ValueId> ids;
  for (const Tensor& tensor : inputs) {
    ids.push_back(
        graph.AddInput(std::to_string(ids.size()), {DType::kF32, {tensor.shape().begin(), tensor.shape().end()}}));
    values[ids.back()] = tensor;
  }
  const ValueId mask = graph.AddInput("mask", {DType::kS64, {2, kKeys}});
  values[mask] = S64({2, kKeys}, seen);
  ids.push_back(graph.AddNode("laconic.KeyMask", "key_mask", {mask}));
  graph.AddOutput(graph.AddNode("laconic.Int8Attention", "y", ids, {{"num_heads", std::int64_t{2}}, {"scale", .7F}}));
  const std::vector<float> y = Values(Interpret(graph, values)[0]);

  for (std::int64_t head = 0; head < 2; ++head) {
    const auto rows = [&](const Tensor& x, const std::vector<std::int64_t>& which) {
      std::vector<float> result;
      for (const std::int64_t row : which) {
        const float* from = x.data_as<float>() + row * 2 * kWidth + head * kWidth;
        result.insert(result.end(), from, from + kWidth);
      }
      return result;
    };
    std::vector<float> expected(kQueries * kWidth);
    quant::Int8Attention(rows(inputs[0], {0, 1}), rows(inputs[1], {0, 2, 3}), rows(inputs[2], {0, 2, 3}), kWidth, .7F,
                         expected);
    EXPECT_EQ(rows(F32({2, kQueries, 2 * kWidth}, y), {0, 1}), expected) << head;
    EXPECT_EQ(rows(F32({2, kQueries, 2 * kWidth}, y), {2, 3}), std::vector<float>(kQueries * kWidth)) << "no keys";
  }
}

// The linear layer's integers, against quant/, which the kernels of the runtime equal too.
TEST(InterpreterTest, LinearsOnQuantizedInputsComputeWithIntegers) {
  constexpr std::int64_t kRows = 3;
  constexpr std::int64_t kTerms = 50;
  constexpr std::int64_t kColumns = 4;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> x(kRows * kTerms);
  std::ranges::generate(x, [&] { return normal(random); });
  std::vector<std::int8_t> codes(kTerms * kColumns);
  std::ranges::generate(codes, [&] { return static_cast<std::int8_t>(random() % 255 - 127); });
  const std::vector<float> scales = {.01F, .02F, .003F, .7F};
  const std::vector<float> bias = {1, -2, .3F, 0};

  Graph graph;
  const ValueId input = graph.AddInput("x", {DType::kF32, {kRows, kTerms}});
  const ValueId quantized = graph.AddNode("laconic.DynamicQuantize", "quantized", {input});
  const ValueId w = graph.AddInitializer("w", Tensor::FromValues<std::int8_t>({kTerms, kColumns}, codes));
  const ValueId weight = graph.AddNode("DequantizeLinear", "weight", {w, graph.AddInitializer("s", F32({4}, scales))});
  graph.AddOutput(graph.AddNode("laconic.Linear", "y", {quantized, weight, graph.AddInitializer("b", F32({4}, bias))}));
  const std::vector<float> y = Values(Interpret(graph, {{input, F32({kRows, kTerms}, x)}})[0]);

  std::vector<std::uint8_t> row(kTerms);
  std::vector<std::int8_t> column(kTerms);
  for (std::size_t i = 0; i < kRows; ++i) {
    const quant::RowParams params = quant::QuantizeRowU8(std::span(x).subspan(i * kTerms, kTerms), row);
    for (std::size_t j = 0; j < kColumns; ++j) {
      for (std::size_t k = 0; k < kTerms; ++k) {
        column[k] = codes[k * kColumns + j];
      }
      EXPECT_EQ(y[i * kColumns + j], quant::LinearU8S8(row, params, column, scales[j], bias[j]));
    }
  }
}

}  // namespace
}  // namespace laconic
