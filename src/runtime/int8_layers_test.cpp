// Linear layers in 8 bits compute, in whole models, what src/quant defines: given the rows that enter a quantizer, the
// layer's outputs have the same bits.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <random>

#include <gtest/gtest.h>

#include "graph/graph.h"
#include "graph/ops.h"
#include "laconic/model.h"
#include "passes/layer_selection.h"
#include "passes/quantize/int8.h"
#include "passes/quantize/linear_groups.h"
#include "quant/static.h"
#include "quant/weight_range.h"
#include "quant/weights.h"
#include "runtime/tap.h"
#include "runtime/testing.h"

namespace laconic::runtime {
namespace {

using passes::Int8Options;

// All rows of each tapped value.
class Gatherer final : public TapSink {
 public:
  struct Rows {
    std::int64_t width = 0;
    std::map<std::int64_t, std::vector<float>> rows;
    bool are_texts = false;
  };
  explicit Gatherer(std::size_t num_values) : values(num_values) {}
  void BeginBatch(const TapBatch& batch) override { starts.assign(batch.starts.begin(), batch.starts.end()); }
  void TakeRows(const TapRows& taken) noexcept override {
    const std::lock_guard lock(mutex_);
    Rows& value = values[taken.value];
    value.width = taken.width;
    value.are_texts = taken.rows == runtime::Rows::kTexts;
    for (std::int64_t i = 0; i < taken.num_rows; ++i) {
      const float* row = taken.data + i * taken.stride;
      value.rows[taken.first_row + i].assign(row, row + taken.width);
    }
  }
  std::vector<Rows> values;
  std::vector<std::int64_t> starts;

 private:
  std::mutex mutex_;
};

// What a linear layer reads and how it is rounded.
struct Layer {
  std::string exact;                              // the rows before the quantizer and before its factors
  std::vector<float> multiplier;                  // empty: none
  std::optional<std::pair<float, float>> bounds;  // the rows are clipped to
  const Node* quantizer = nullptr;
  const Node* linear = nullptr;
};

std::vector<Layer> LayersOf(const Graph& graph) {
  std::vector<Layer> layers;
  for (const Node& node : graph.nodes()) {
    if (node.op != "laconic.Linear") {
      continue;
    }
    Layer layer;
    layer.linear = &node;
    layer.quantizer = graph.FindProducer(node.inputs[0]);
    if (layer.quantizer->op == "DequantizeLinear") {
      layer.quantizer = graph.FindProducer(layer.quantizer->inputs[0]);
    }
    ValueId x = layer.quantizer->inputs[0];
    const Node* producer = graph.FindProducer(x);
    if (producer->op == "Clip") {
      layer.bounds = {graph.FindInitializer(producer->inputs[1])->values<float>()[0],
                      graph.FindInitializer(producer->inputs[2])->values<float>()[0]};
      x = producer->inputs[0];
      producer = graph.FindProducer(x);
    }
    if (producer->op == "Mul") {
      const std::span<const float> factors = graph.FindInitializer(producer->inputs[1])->values<float>();
      layer.multiplier.assign(factors.begin(), factors.end());
      x = producer->inputs[0];
    }
    layer.exact = graph.value(x).name;
    layers.push_back(layer);
  }
  return layers;
}

// The codes less their zero points, [n, k], and the scale of each output channel.
struct Weight {
  std::vector<std::vector<int>> rows;
  std::vector<float> scale;
};

Weight WeightOf(const Graph& graph, const Node& linear) {
  const Node& node = *graph.FindProducer(linear.inputs[1]);
  const Tensor codes = graph.FindInitializer(node.inputs[0])->Transposed().Contiguous();
  const std::span<const float> scale = graph.FindInitializer(node.inputs[1])->values<float>();
  const Tensor* zero = node.inputs.size() > 2 ? graph.FindInitializer(node.inputs[2]) : nullptr;
  const bool is_signed = codes.dtype() == DType::kS8;
  const auto k = static_cast<std::size_t>(codes.shape()[1]);
  Weight weight;
  for (std::size_t n = 0; n < static_cast<std::size_t>(codes.shape()[0]); ++n) {
    weight.scale.push_back(scale[scale.size() == 1 ? 0 : n]);
    const std::size_t at = zero == nullptr || zero->num_elements() == 1 ? 0 : n;
    const int zero_point = zero == nullptr ? 0
                           : is_signed     ? zero->values<std::int8_t>()[at]
                                           : zero->values<std::uint8_t>()[at];
    std::vector<int>& row = weight.rows.emplace_back();
    for (std::size_t i = n * k; i < (n + 1) * k; ++i) {
      row.push_back((is_signed ? int{codes.values<std::int8_t>()[i]} : int{codes.values<std::uint8_t>()[i]}) -
                    zero_point);
    }
  }
  return weight;
}

quant::QuantParams StaticParams(const Graph& graph, const Node& quantizer) {
  const Tensor& zero = *graph.FindInitializer(quantizer.inputs[2]);
  quant::QuantParams params = {graph.FindInitializer(quantizer.inputs[1])->values<float>()[0], 0, zero.dtype()};
  params.zero_point =
      zero.dtype() == DType::kS8 ? int{zero.values<std::int8_t>()[0]} : int{zero.values<std::uint8_t>()[0]};
  return params;
}

struct Code {
  std::vector<std::uint8_t> q;
  quant::RowParams params;
};

// The codes of all rows, as src/quant defines them.
std::map<std::int64_t, Code> CodesOf(const Graph& graph, const Layer& layer, const Gatherer::Rows& x,
                                     const std::vector<std::int64_t>& starts) {
  std::map<std::int64_t, Code> codes;
  const auto text_of = [&](std::int64_t row) {
    return x.are_texts ? row : std::ranges::upper_bound(starts, row) - starts.begin() - 1;
  };
  std::map<std::int64_t, std::pair<float, float>> extremes;  // by text
  for (const auto& [row, values] : x.rows) {
    auto& [lo, hi] = extremes[text_of(row)];
    for (std::size_t i = 0; i < values.size(); ++i) {
      const float value = layer.multiplier.empty() ? values[i] : values[i] * layer.multiplier[i];
      lo = std::min(lo, value);
      hi = std::max(hi, value);
    }
  }
  for (const auto& [row, values] : x.rows) {
    Code& code = codes[row];
    code.q.resize(values.size());
    if (layer.quantizer->op == "QuantizeLinear") {
      std::vector<float> clipped = values;
      for (std::size_t i = 0; i < values.size(); ++i) {
        clipped[i] *= layer.multiplier.empty() ? 1.0F : layer.multiplier[i];
        clipped[i] = layer.bounds ? std::clamp(clipped[i], layer.bounds->first, layer.bounds->second) : clipped[i];
      }
      code.params = quant::QuantizeRowStatic(clipped, {}, StaticParams(graph, *layer.quantizer), code.q);
    } else if (StringAttribute(*layer.quantizer, kGranularity) == kPerTensor) {
      const auto [lo, hi] = extremes[text_of(row)];
      code.params = quant::QuantizeRowStatic(values, layer.multiplier, quant::DynamicParams(lo, hi), code.q);
    } else {
      code.params = quant::QuantizeRowU8(values, code.q, layer.multiplier);
    }
  }
  return codes;
}

struct Case {
  const char* name = "";
  bool is_static = false;
  TensorQConfig activations;
  TensorQConfig weights = quant::kSymmetricS8;
  bool is_smoothed = false;
};

constexpr TensorQConfig kTensorS8 = {.dtype = CodeType::kS8, .scheme = Scheme::kSymmetric};
constexpr TensorQConfig kTensorU8 = {.scheme = Scheme::kSymmetric};
constexpr TensorQConfig kChannelU8 = {.scheme = Scheme::kSymmetric, .granularity = Granularity::kChannel};
constexpr TensorQConfig kToken = {.granularity = Granularity::kToken};

void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }

// Ranges that cut off some values; factors around 1.
Graph QuantizedGraph(const Graph& graph, const Case& test) {
  const std::vector<std::string> names = passes::SelectLayers(graph, {});
  const std::set<std::string> layers(names.begin(), names.end());
  passes::CalibratedRounding rounding;
  Int8Options options = {.is_static = test.is_static, .rounding = &rounding};
  options.qconfig.layers = {.activations = test.activations, .weights = test.weights};
  std::mt19937 random(4);
  for (const passes::LinearGroup& group : passes::GroupLinears(graph, layers)) {
    for (const ValueId input : group.inputs) {
      options.ranges[graph.value(input).name] = quant::StaticParams({-1.7F, 2.1F}, test.activations);
      std::vector<float> factors(static_cast<std::size_t>(group.width));
      for (float& factor : factors) {
        factor = 0.5F + static_cast<float>(random() % 1000) / 1000;
      }
      if (test.is_smoothed) {
        rounding.inv_smooth[input] = Tensor::FromValues<float>({group.width}, factors);
      }
    }
  }
  return passes::QuantizeInt8(graph, layers, options);
}

class Int8LayersTest : public ::testing::TestWithParam<Case> {};

TEST_P(Int8LayersTest, EqualTheDefinitionBitForBit) {
  for (const std::string model : {"tiny_bert", "tiny_distilbert"}) {
    const Graph graph = QuantizedGraph(Model::Load("tests/data/" + model).graph(), GetParam());
    const std::vector<Layer> layers = LayersOf(graph);
    ASSERT_GT(layers.size(), 10U);
    std::vector<std::string> values;
    for (const Layer& layer : layers) {
      values.push_back(layer.exact);
      values.push_back(graph.name(*layer.linear));
    }
    Gatherer gatherer(values.size());
    const auto compiled = CompileTapped(graph, values, &gatherer);
    Session(compiled, 2).Run(RandomTexts(5, 40, 100, 9));
    for (std::size_t i = 0; i < layers.size(); ++i) {
      SCOPED_TRACE(model + ", " + values[2 * i + 1]);
      const Weight weight = WeightOf(graph, *layers[i].linear);
      const std::span<const float> bias = graph.FindInitializer(layers[i].linear->inputs[2])->values<float>();
      const std::map<std::int64_t, Code> codes = CodesOf(graph, layers[i], gatherer.values[2 * i], gatherer.starts);
      ASSERT_EQ(codes.size(), gatherer.values[2 * i + 1].rows.size());
      for (const auto& [row, code] : codes) {
        std::vector<float> expected;
        for (std::size_t n = 0; n < weight.rows.size(); ++n) {
          const std::vector<std::int8_t> w(weight.rows[n].begin(), weight.rows[n].end());
          const auto definition = GetParam().is_static ? &quant::StaticLinearU8S8 : &quant::LinearU8S8;
          expected.push_back(definition(code.q, code.params, w, weight.scale[n], bias[n]));
        }
        const std::vector<float>& got = gatherer.values[2 * i + 1].rows.at(row);
        ASSERT_EQ(got.size(), expected.size());
        EXPECT_EQ(std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)), 0) << "row " << row;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Methods, Int8LayersTest,
    ::testing::Values(Case{"static", true, {}},
                      Case{"static, s8 rows, u8 weights", true, {.dtype = CodeType::kS8}, kChannelU8},
                      Case{"static, smoothed, a scale a weight", true, {}, kTensorS8, true},
                      Case{"static, u8 rows in 7 bits", true, {.range = CodeRange::kReduced}},
                      Case{"static, s8 rows in 7 bits, smoothed", true, quant::kReducedS8, quant::kSymmetricS8, true},
                      Case{"a scale a text", false, {}},
                      Case{"a scale a text, smoothed, u8 weights", false, {}, kTensorU8, true},
                      Case{"a scale a row, smoothed", false, kToken, quant::kSymmetricS8, true},
                      Case{"a scale a row, weights in 7 bits", false, kToken, quant::kReducedS8}));

// words -> first token -> static quantizer -> linear of `codes` (u8) and zero points
Graph OneLayer(const std::vector<std::uint8_t>& codes, const std::vector<std::uint8_t>& zero_points) {
  Graph graph;
  const auto scalar = [&](const char* name, auto value) {
    using T = decltype(value);
    return graph.AddInitializer(name, Tensor::FromValues<T>({}, std::span<const T>(&value, 1)));
  };
  const ValueId ids = graph.AddInput("input_ids", {DType::kS64, {"batch", "sequence"}});
  std::vector<float> words(4 * 6);
  for (std::size_t i = 0; i < words.size(); ++i) {
    words[i] = std::sin(static_cast<float>(i * i));
  }
  const ValueId table = graph.AddInitializer("words", Tensor::FromValues<float>({6, 4}, words));
  const ValueId x = graph.AddNode("Gather", "first",
                                  {graph.AddNode("Gather", "embedded", {table, ids}), scalar("zero", std::int64_t{0})},
                                  {{"axis", std::int64_t{1}}});
  const ValueId scale = scalar("scale", 0.01F);
  const ValueId zero = scalar("zero_point", std::uint8_t{120});
  const ValueId q = graph.AddNode("QuantizeLinear", "q", {x, scale, zero});
  const ValueId rows = graph.AddNode("DequantizeLinear", "rows", {q, scale, zero});
  const std::vector<float> scales = {0.02F, 0.03F, 0.04F};
  const ValueId weight =
      graph.AddNode("DequantizeLinear", "weight",
                    {graph.AddInitializer("codes", Tensor::FromValues<std::uint8_t>({4, 3}, codes)),
                     graph.AddInitializer("scales", Tensor::FromValues<float>({3}, scales)),
                     graph.AddInitializer("zeros", Tensor::FromValues<std::uint8_t>({3}, zero_points))});
  graph.AddOutput(graph.AddNode("laconic.Linear", "y", {rows, weight}));
  return graph;
}

// Codes that fit s8 less their zero points run as integers; others as real numbers, to f32 rounding.
TEST(Int8LayersTest, AnyZeroPointsOfWeights) {
  const std::vector<std::uint8_t> codes = {100, 0, 255, 120, 3, 200, 90, 60, 140, 127, 9, 130};
  for (const auto& [zero_points, is_integer] :
       std::vector<std::pair<std::vector<std::uint8_t>, bool>>{{{100, 30, 130}, true}, {{100, 30, 3}, false}}) {
    const Graph graph = OneLayer(codes, zero_points);
    const std::vector<std::string> values = {"first", "rows"};
    Gatherer gatherer(2);
    const auto compiled = CompileTapped(graph, values, &gatherer);
    EXPECT_EQ(compiled->PlanText().find("u8s8") != std::string::npos, is_integer) << compiled->PlanText();
    const std::vector<Encoding> texts = {{.ids = {3}}, {.ids = {5, 1}}};
    const std::vector<float> got = Session(compiled, 1).Run(texts);
    for (std::size_t text = 0; text < 2; ++text) {
      const std::vector<float>& row = gatherer.values[0].rows.at(static_cast<std::int64_t>(text));
      std::vector<std::uint8_t> q(4);
      quant::QuantizeRowStatic(row, {}, {0.01F, 120, DType::kU8}, q);
      for (std::size_t n = 0; n < 3; ++n) {
        double expected = 0;
        for (std::size_t k = 0; k < 4; ++k) {
          expected +=
              0.01 * (q[k] - 120) * (codes[k * 3 + n] - zero_points[n]) * (0.02 + 0.01 * static_cast<double>(n));
          EXPECT_EQ(gatherer.values[1].rows.at(static_cast<std::int64_t>(text))[k],
                    0.01F * static_cast<float>(q[k] - 120));
        }
        EXPECT_NEAR(got[text * 3 + n], expected, 1e-5);
      }
    }
  }
}

// A row that is not finite gives NaN in its own text's answer, whatever the granularity.
TEST(Int8LayersTest, NotANumberIsSeen) {
  Graph graph;
  const ValueId ids = graph.AddInput("input_ids", {DType::kS64, {"batch", "sequence"}});
  const std::vector<float> words = {1, 2, NAN, 1};
  const std::vector<float> weight = {1, -1};
  const std::vector<std::int64_t> first = {0};
  const ValueId table = graph.AddInitializer("words", Tensor::FromValues<float>({2, 2}, words));
  const ValueId zero = graph.AddInitializer("zero", Tensor::FromValues<std::int64_t>({}, first));
  const ValueId x = graph.AddNode("Gather", "first", {graph.AddNode("Gather", "embedded", {table, ids}), zero},
                                  {{"axis", std::int64_t{1}}});
  graph.AddOutput(graph.AddNode("laconic.Linear", "y",
                                {x, graph.AddInitializer("w.weight", Tensor::FromValues<float>({2, 1}, weight))}));
  for (const bool is_static : {false, true}) {
    for (const Granularity granularity : {Granularity::kToken, Granularity::kTensor}) {
      Int8Options options = {.is_static = is_static, .ranges = {{"first", {0.1F, 0, DType::kU8, {}}}}};
      options.qconfig.layers.activations.granularity = granularity;
      const Graph quantized = passes::QuantizeInt8(graph, {"w"}, options);
      const std::vector<Encoding> texts = {{.ids = {0}}, {.ids = {1}}};
      const std::vector<float> got = Session(CompileTapped(quantized, {}, nullptr), 1).Run(texts);
      EXPECT_NEAR(got[0], -1, 0.05);
      EXPECT_TRUE(std::isnan(got[1]));
    }
  }
}

}  // namespace
}  // namespace laconic::runtime
