#include "passes/read_rows.h"

#include <cstring>
#include <functional>
#include <random>
#include <sstream>

#include <gtest/gtest.h>

#include "graph/text_form.h"
#include "interpreter/interpreter.h"

namespace laconic::passes {
namespace {

using namespace std::string_literals;  // NOLINT(google-build-using-namespace)

Tensor RandomTensor(std::string_view name, DType dtype, const Shape& shape) {
  std::mt19937 random(static_cast<unsigned>(std::hash<std::string_view>()(name)));
  const auto next = [&] { return static_cast<float>(random() % 2001) / 1000 - 1; };
  if (dtype == DType::kS64) {
    return Tensor::FromValues<std::int64_t>(shape, std::vector<std::int64_t>(shape.empty() ? 1 : shape[0]));
  }
  if (dtype == DType::kU8) {
    return Tensor::FromValues<std::uint8_t>(shape, std::vector<std::uint8_t>{120});
  }
  std::vector<float> values(static_cast<std::size_t>(NumElements(shape)));
  for (float& value : values) {
    value = next();
  }
  if (shape.empty()) {
    values = {0.01F};
  }
  return Tensor::FromValues<float>(shape, values);
}

// Constants in `text` come without digests.
Graph Parsed(const std::string& text) {
  const std::map<std::string, std::pair<DType, Shape>> constants = {
      {"zero", {DType::kS64, {}}},  {"w", {DType::kF32, {4, 4}}},     {"row", {DType::kF32, {4}}},
      {"scale", {DType::kF32, {}}}, {"zero_point", {DType::kU8, {}}},
  };
  std::string with_digests;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("const ")) {
      const std::string name = line.substr(6, line.find(':') - 6);
      line += " #" + TensorDigest(RandomTensor(name, constants.at(name).first, constants.at(name).second));
    }
    with_digests += line + "\n";
  }
  return ParseGraph(with_digests, RandomTensor);
}

std::string WithoutDigests(const Graph& graph) {
  std::string text = PrintGraph(graph);
  for (std::size_t at; (at = text.find(" #")) != std::string::npos;) {
    text.erase(at, 18);
  }
  return text;
}

// The lines that compute: what a test is about.
std::string Nodes(const Graph& graph) {
  std::string nodes;
  std::istringstream lines(WithoutDigests(graph));
  for (std::string line; std::getline(lines, line);) {
    if (line.find(" = ") != std::string::npos) {
      nodes += line + "\n";
    }
  }
  return nodes;
}

// `x` [batch, sequence, 4] and the mask, then `body`, which ends in the tokens' `y`, of which the first is taken.
std::string FirstTokenOf(const std::string& body) {
  return "input x: f32[batch, sequence, 4]\n"
         "input attention_mask: s64[batch, sequence]\n"
         "const zero: s64[]\n"
         "const w: f32[4, 4]\n"
         "const row: f32[4]\n"
         "const scale: f32[]\n"
         "const zero_point: u8[]\n" +
         body +
         "first = Gather(y, zero) {axis = 1}: f32[batch, 4]\n"
         "output first\n";
}

const char* const kLayer =
    "mask = laconic.KeyMask(attention_mask): bool[batch, 1, 1, sequence]\n"
    "q = laconic.Linear(x, w, row): f32[batch, sequence, 4]\n"
    "k = laconic.Linear(x, w): f32[batch, sequence, 4]\n"
    "v = laconic.Linear(x, w, row): f32[batch, sequence, 4]\n"
    "a = Attention(q, k, v, mask) {kv_num_heads = 2, q_num_heads = 2, scale = 0.7}: f32[batch, sequence, 4]\n"
    "o = laconic.Linear(a, w, row): f32[batch, sequence, 4]\n"
    "sum = Add(o, x): f32[batch, sequence, 4]\n"
    "n = LayerNormalization(sum, row, row) {epsilon = 0.25}: f32[batch, sequence, 4]\n"
    "f = laconic.Linear(n, w, row): f32[batch, sequence, 4]\n"
    "g = Gelu(f): f32[batch, sequence, 4]\n"
    "y = Add(g, n): f32[batch, sequence, 4]\n";

const char* const kMovedLayer =
    "mask = laconic.KeyMask(attention_mask): bool[batch, 1, 1, sequence]\n"
    "k = laconic.Linear(x, w): f32[batch, sequence, 4]\n"
    "v = laconic.Linear(x, w, row): f32[batch, sequence, 4]\n"
    "x.first = Gather(x, first_) {axis = 1}: f32[batch, 1, 4]\n"
    "q = laconic.Linear(x.first, w, row): f32[batch, 1, 4]\n"
    "a = Attention(q, k, v, mask) {kv_num_heads = 2, q_num_heads = 2, scale = 0.7}: f32[batch, 1, 4]\n"
    "o = laconic.Linear(a, w, row): f32[batch, 1, 4]\n"
    "sum = Add(o, x.first): f32[batch, 1, 4]\n"
    "n = LayerNormalization(sum, row, row) {epsilon = 0.25}: f32[batch, 1, 4]\n"
    "f = laconic.Linear(n, w, row): f32[batch, 1, 4]\n"
    "g = Gelu(f): f32[batch, 1, 4]\n"
    "y = Add(g, n): f32[batch, 1, 4]\n"
    "first = Gather(y, zero) {axis = 1}: f32[batch, 4]\n";

// What the interpreter computes with two texts of five tokens, of which the second has three.
std::vector<Tensor> Answers(const Graph& graph) {
  std::map<ValueId, Tensor> inputs;
  inputs[*graph.FindValue("x")] = RandomTensor("x", DType::kF32, {2, 5, 4});
  const std::vector<std::int64_t> mask = {1, 1, 1, 1, 1, 1, 1, 1, 0, 0};
  inputs[*graph.FindValue("attention_mask")] = Tensor::FromValues<std::int64_t>({2, 5}, mask);
  return Interpret(graph, inputs);
}

void ExpectSameAnswers(const Graph& before, const Graph& after) {
  const std::vector<Tensor> expected = Answers(before);
  const std::vector<Tensor> got = Answers(after);
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i].shape(), expected[i].shape());
    const Tensor a = expected[i].Contiguous();
    const Tensor b = got[i].Contiguous();
    EXPECT_EQ(std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size_bytes())), 0);
  }
}

TEST(ReadRowsTest, TheLastLayerRunsForFirstTokensAlone) {
  const Graph before = Parsed(FirstTokenOf(kLayer));
  const Graph after = KeepReadRows(before);
  EXPECT_EQ(Nodes(after), kMovedLayer);
  ExpectSameAnswers(before, after);
  EXPECT_EQ(Nodes(KeepReadRows(after)), Nodes(after)) << "twice is once";
}

// A quantizer runs once more for the first tokens: rows of f32 are carried over, never codes.
TEST(ReadRowsTest, GoesThroughQuantizers) {
  const Graph before =
      Parsed(FirstTokenOf("d = laconic.DynamicQuantize(x): f32[batch, sequence, 4]\n"
                          "z = laconic.Linear(d, w): f32[batch, sequence, 4]\n"
                          "other = laconic.MeanPool(d, attention_mask): f32[batch, 4]\n"
                          "output other\n"
                          "scaled = Mul(z, row): f32[batch, sequence, 4]\n"
                          "clipped = Clip(scaled, _, scale): f32[batch, sequence, 4]\n"
                          "codes = QuantizeLinear(clipped, scale, zero_point): u8[batch, sequence, 4]\n"
                          "y = DequantizeLinear(codes, scale, zero_point): f32[batch, sequence, 4]\n"));
  const Graph after = KeepReadRows(before);
  EXPECT_EQ(Nodes(after),
            "d = laconic.DynamicQuantize(x): f32[batch, sequence, 4]\n"
            "other = laconic.MeanPool(d, attention_mask): f32[batch, 4]\n"
            "x.first = Gather(x, first_) {axis = 1}: f32[batch, 1, 4]\n"
            "d.first = laconic.DynamicQuantize(x.first): f32[batch, 1, 4]\n"
            "z = laconic.Linear(d.first, w): f32[batch, 1, 4]\n"
            "scaled = Mul(z, row): f32[batch, 1, 4]\n"
            "clipped = Clip(scaled, _, scale): f32[batch, 1, 4]\n"
            "codes = QuantizeLinear(clipped, scale, zero_point): u8[batch, 1, 4]\n"
            "y = DequantizeLinear(codes, scale, zero_point): f32[batch, 1, 4]\n"
            "first = Gather(y, zero) {axis = 1}: f32[batch, 4]\n");
  ExpectSameAnswers(before, after);
}

TEST(ReadRowsTest, WhatIsLookedAtStaysWhole) {
  const Graph graph = Parsed(FirstTokenOf(kLayer));
  EXPECT_EQ(Nodes(KeepReadRows(graph, {*graph.FindValue("y")})), Nodes(graph));
  const std::string from_n = Nodes(KeepReadRows(graph, {*graph.FindValue("n")}));
  EXPECT_NE(from_n.find("n = LayerNormalization(sum, row, row) {epsilon = 0.25}: f32[batch, sequence, 4]\n"
                        "n.first = Gather(n, first_) {axis = 1}: f32[batch, 1, 4]\n"
                        "f = laconic.Linear(n.first, w, row): f32[batch, 1, 4]\n"),
            std::string::npos)
      << from_n;
}

// Each of these bodies computes a token from others too, or reads all tokens, or leaves the graph.
TEST(ReadRowsTest, WhatNeedsOtherTokensStaysWhole) {
  const std::string mask = "mask = laconic.KeyMask(attention_mask): bool[batch, 1, 1, sequence]\n";
  const std::string heads = "kv_num_heads = 2, q_num_heads = 2, scale = 0.7";
  for (const std::string& body : {
           "y = laconic.DynamicQuantize(x) {granularity = \"tensor\"}: f32[batch, sequence, 4]\n"s,
           "y = Gelu(x): f32[batch, sequence, 4]\nother = laconic.MeanPool(y, attention_mask): f32[batch, 4]\noutput "
           "other\n"s,
           "y = Gelu(x): f32[batch, sequence, 4]\noutput y\n"s,
           mask + "y = Attention(x, x, x, mask) {is_causal = 1, " + heads + "}: f32[batch, sequence, 4]\n",
           mask +
               "y = Attention(x, x, x, mask) {kv_num_heads = 2, left_window_size = 1, q_num_heads = 2, scale = 0.7}: "
               "f32[batch, sequence, 4]\n",
           "y = LayerNormalization(x, w, w) {axis = 1}: f32[batch, sequence, 4]\n"s,
       }) {
    const Graph graph = Parsed(FirstTokenOf(body));
    EXPECT_EQ(Nodes(KeepReadRows(graph)), Nodes(graph));
  }
}

TEST(ReadRowsTest, Int8AttentionMovesAsAttentionDoes) {
  const Graph before = Parsed(
      FirstTokenOf("mask = laconic.KeyMask(attention_mask): bool[batch, 1, 1, sequence]\n"
                   "h = Gelu(x): f32[batch, sequence, 4]\n"
                   "y = laconic.Int8Attention(h, x, x, mask) {num_heads = 2, scale = 0.7}: f32[batch, sequence, 4]\n"));
  const Graph after = KeepReadRows(before);
  EXPECT_EQ(Nodes(after),
            "mask = laconic.KeyMask(attention_mask): bool[batch, 1, 1, sequence]\n"
            "x.first = Gather(x, first_) {axis = 1}: f32[batch, 1, 4]\n"
            "h = Gelu(x.first): f32[batch, 1, 4]\n"
            "y = laconic.Int8Attention(h, x, x, mask) {num_heads = 2, scale = 0.7}: f32[batch, 1, 4]\n"
            "first = Gather(y, zero) {axis = 1}: f32[batch, 4]\n");
  ExpectSameAnswers(before, after);
}

// One value may be a node's query, which is read at first tokens, and its keys, which are not.
TEST(ReadRowsTest, KeysStayWhole) {
  const Graph before =
      Parsed(FirstTokenOf("mask = laconic.KeyMask(attention_mask): bool[batch, 1, 1, sequence]\n"
                          "h = Gelu(x): f32[batch, sequence, 4]\n"
                          "y = Attention(h, h, h, mask) {kv_num_heads = 2, q_num_heads = 2, scale = 0.7}: "
                          "f32[batch, sequence, 4]\n"));
  const Graph after = KeepReadRows(before);
  EXPECT_NE(Nodes(after).find("y = Attention(h.first, h, h, mask)"), std::string::npos) << Nodes(after);
  ExpectSameAnswers(before, after);
}

}  // namespace
}  // namespace laconic::passes
