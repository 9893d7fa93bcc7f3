#include "formats/onnx/test_graphs.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <random>

#include "graph/ops.h"

namespace laconic::onnx_file {
namespace {

constexpr std::int64_t kVocabulary = 40;
constexpr std::int64_t kPositions = 24;
constexpr std::int64_t kWidth = 16;
constexpr std::int64_t kInner = 24;
constexpr std::int64_t kLabels = 3;

// Symmetric codes and one scale a row of `axis`. For the test: any rounding would do.
std::pair<Tensor, Tensor> Quantize(const Tensor& tensor, std::size_t axis) {
  const std::int64_t rows = tensor.shape()[0];
  const std::int64_t columns = tensor.shape()[1];
  const auto* values = tensor.data_as<float>();
  std::vector<float> scales(static_cast<std::size_t>(tensor.shape()[axis]));
  std::vector<std::int8_t> codes(static_cast<std::size_t>(rows * columns));
  const auto group = [&](std::int64_t i) { return static_cast<std::size_t>(axis == 0 ? i / columns : i % columns); };
  for (std::int64_t i = 0; i < rows * columns; ++i) {
    scales[group(i)] = std::max(scales[group(i)], std::abs(values[i]) / 127.0F);
  }
  for (std::int64_t i = 0; i < rows * columns; ++i) {
    codes[static_cast<std::size_t>(i)] = static_cast<std::int8_t>(std::nearbyint(values[i] / scales[group(i)]));
  }
  return {Tensor::FromValues<std::int8_t>(tensor.shape(), codes),
          Tensor::FromValues<float>({tensor.shape()[axis]}, scales)};
}

Tensor ShiftedToU8(const Tensor& codes) {
  return Tensor::Make(DType::kU8, codes.shape(), [&](std::byte* data) {
    std::ranges::transform(codes.values<std::int8_t>(), reinterpret_cast<std::uint8_t*>(data),
                           [](std::int8_t code) { return static_cast<std::uint8_t>(code + 128); });
  });
}

Tensor ToHalf(const Tensor& tensor, DType dtype) {
  return Tensor::Make(dtype, tensor.shape(), [&](std::byte* data) {
    auto* out = reinterpret_cast<std::uint16_t*>(data);
    for (const float value : tensor.values<float>()) {
      *out++ = dtype == DType::kF16 ? FloatToHalf(value) : FloatToBFloat16(value);
    }
  });
}

class Builder {
 public:
  explicit Builder(const TestGraphOptions& options) : options_(options) {}

  Graph Run() {
    const ValueId ids = Ids("input_ids");
    const ValueId mask = Ids("attention_mask");
    ValueId sum = Embedding("words", kVocabulary, ids);
    if (options_.has_token_types) {
      sum = graph_.AddNode("Add", "words_types", {sum, Embedding("types", 2, Ids("token_type_ids"))});
    }
    if (options_.has_type_row) {
      sum = graph_.AddNode("Add", "words_row", {sum, graph_.AddInitializer("type_row", Random({kWidth}, 0, 1))});
    }
    const ValueId positions =
        graph_.AddNode("laconic.Positions", "position_ids", {ids}, {{"offset", options_.position_offset}});
    const std::int64_t num_rows = options_.position_offset + kPositions;
    sum = graph_.AddNode("Add", "embedded", {sum, Embedding("positions", num_rows, positions)});
    ValueId hidden = Norm("embeddings.LayerNorm", "embeddings.LayerNorm", sum);
    const ValueId key_mask = graph_.AddNode("laconic.KeyMask", "key_mask", {mask});
    for (int i = 0; i < options_.num_layers; ++i) {
      const std::string own = "layer." + std::to_string(i);
      hidden = Layer(own, options_.shares_layers ? "layer.0" : own, hidden, key_mask);
    }
    ValueId pooled = kNoValue;
    if (options_.is_mean_pooled) {
      pooled = graph_.AddNode("laconic.MeanPool", "mean", {hidden, mask});
    } else {
      const std::vector<std::int64_t> first = {0};
      const ValueId zero = graph_.AddInitializer("first", Tensor::FromValues<std::int64_t>({}, first));
      const ValueId cls = graph_.AddNode("Gather", "cls", {hidden, zero}, {{"axis", std::int64_t{1}}});
      pooled = graph_.AddNode("Tanh", "pooled", {Linear("pooler", "pooler", cls, kWidth, true)});
    }
    const ValueId dense = Linear("classifier.dense", "classifier.dense", pooled, kWidth, true);
    const ValueId activated = graph_.AddNode(options_.head_activation, "classifier.activation", {dense});
    graph_.AddOutput(Linear("logits", "logits", activated, kLabels, true));
    return std::move(graph_);
  }

 private:
  ValueId Ids(const std::string& name) { return graph_.AddInput(name, {DType::kS64, {"batch", "sequence"}}); }

  Tensor Random(const Shape& shape, float mean, float deviation) {
    std::normal_distribution<float> normal(mean, deviation);
    std::vector<float> values(static_cast<std::size_t>(NumElements(shape)));
    for (float& value : values) {
      value = normal(random_);
    }
    return Tensor::FromValues<float>(shape, values);
  }

  ValueId Shared(const std::string& name, const std::function<ValueId()>& make) {
    const std::optional<ValueId> known = graph_.FindValue(name);
    return known ? *known : make();
  }

  // A weight in the storage that the options ask for, as an f32 value called `name`.
  ValueId Weight(const std::string& name, const Tensor& tensor, std::size_t axis) {
    switch (options_.weights) {
      case Weights::kHalf:
      case Weights::kBFloat16: {
        const DType dtype = options_.weights == Weights::kHalf ? DType::kF16 : DType::kBF16;
        const ValueId half = graph_.AddInitializer(name + "_half", ToHalf(tensor, dtype));
        return graph_.AddNode("Cast", name, {half}, {{"to", std::string("f32")}});
      }
      case Weights::kDynamic:
      case Weights::kDynamicTensor:
      case Weights::kStatic:
      case Weights::kWeightOnly: {
        const bool one_scale = axis == 1 && !options_.per_channel;
        const Shape flat = {1, tensor.num_elements()};
        auto [codes, scales] = one_scale ? Quantize(tensor.Reshaped(flat), 0) : Quantize(tensor, axis);
        if (one_scale) {
          codes = codes.Reshaped(tensor.shape());
          scales = scales.Reshaped({});
        }
        const bool shifts = axis == 1 && options_.codes_dtype == DType::kU8;
        std::vector<ValueId> inputs = {graph_.AddInitializer(name + "_quantized", shifts ? ShiftedToU8(codes) : codes),
                                       graph_.AddInitializer(name + "_scale", scales)};
        if (shifts) {
          const std::vector<std::uint8_t> zeros(static_cast<std::size_t>(scales.num_elements()), 128);
          inputs.push_back(
              graph_.AddInitializer(name + "_zero_point", Tensor::FromValues<std::uint8_t>(scales.shape(), zeros)));
        }
        return graph_.AddNode("DequantizeLinear", name, inputs, {{"axis", static_cast<std::int64_t>(axis)}});
      }
      case Weights::kFloat:
        break;
    }
    return graph_.AddInitializer(name, tensor);
  }

  // A table in blocks: codes and scales as rows of a block each.
  ValueId Blocks(const std::string& name, const Tensor& tensor) {
    const std::int64_t block = options_.embedding_block;
    const std::int64_t rows = tensor.shape()[0];
    const auto [codes, scales] = Quantize(tensor.Reshaped({rows * (kWidth / block), block}), 0);
    const ValueId stored = graph_.AddInitializer(name + "_quantized", codes.Reshaped({rows, kWidth}));
    const ValueId scale = graph_.AddInitializer(name + "_scale", scales.Reshaped({rows, kWidth / block}));
    return graph_.AddNode("DequantizeLinear", name, {stored, scale},
                          {{"axis", std::int64_t{1}}, {"block_size", block}});
  }

  ValueId Embedding(const std::string& name, std::int64_t rows, ValueId ids) {
    const Tensor values = Random({rows, kWidth}, 0, 1);
    const ValueId table =
        options_.embedding_block == 0 ? Weight(name + ".weight", values, 0) : Blocks(name + ".weight", values);
    return graph_.AddNode("Gather", name, {table, ids});
  }

  // A row of numbers, shared by the nodes that name it.
  ValueId Row(const std::string& name, std::int64_t width, float mean, float deviation) {
    return Shared(name, [&] { return graph_.AddInitializer(name, Random({width}, mean, deviation)); });
  }

  ValueId Norm(const std::string& name, const std::string& weights, ValueId x) {
    const ValueId gamma = Row(weights + ".weight", kWidth, 1, 0.2F);
    const ValueId beta = Row(weights + ".bias", kWidth, 0, 0.2F);
    return graph_.AddNode("LayerNormalization", name, {x, gamma, beta}, {{"epsilon", 1e-12F}});
  }

  ValueId Quantized(ValueId x) {
    const std::string name = graph_.value(x).name;
    if (options_.is_smoothed) {
      const ValueId factors =
          graph_.AddInitializer(name + "_factors", Random({graph_.value(x).type.shape.back().size}, 1, 0.1F));
      x = graph_.AddNode("Mul", name + "_smoothed", {x, factors});
    }
    if (options_.weights != Weights::kStatic) {
      const std::string granularity(options_.weights == Weights::kDynamic ? kPerToken : kPerTensor);
      return graph_.AddNode("laconic.DynamicQuantize", name + "_quantized", {x}, {{"granularity", granularity}});
    }
    const std::vector<float> scale = {0.03F};  // a normal value over four deviations saturates
    const std::vector<std::int8_t> signed_zero = {-3};
    const std::vector<std::uint8_t> zero = {125};
    std::vector<ValueId> inputs = {
        x, graph_.AddInitializer(name + "_scale", Tensor::FromValues<float>({}, scale)),
        graph_.AddInitializer(name + "_zero_point", options_.rows_dtype == DType::kS8
                                                        ? Tensor::FromValues<std::int8_t>({}, signed_zero)
                                                        : Tensor::FromValues<std::uint8_t>({}, zero))};
    inputs[0] = graph_.AddNode("QuantizeLinear", name + "_QuantizeLinear_Output", inputs);
    return graph_.AddNode("DequantizeLinear", name + "_DequantizeLinear_Output", inputs);
  }

  ValueId Linear(const std::string& name, const std::string& weights, ValueId x, std::int64_t width, bool has_bias) {
    const std::int64_t rows = graph_.value(x).type.shape.back().size;
    const bool quantizes = options_.weights == Weights::kDynamic || options_.weights == Weights::kDynamicTensor ||
                           options_.weights == Weights::kStatic;
    if (quantizes) {
      ValueId& quantized = quantized_.try_emplace(x, kNoValue).first->second;
      if (quantized == kNoValue) {
        quantized = Quantized(x);
      }
      x = quantized;
    }
    const float deviation = 1.5F / std::sqrt(static_cast<float>(rows));
    // As Hugging Face stores it: [out, in], seen the other way round.
    std::vector<ValueId> inputs = {x, Shared(weights + ".weight", [&] {
                                     const Tensor stored = Random({width, rows}, 0, deviation);
                                     return Weight(weights + ".weight", stored.Transposed().Contiguous(), 1);
                                   })};
    if (has_bias) {
      inputs.push_back(Row(weights + ".bias", width, 0, 0.3F));
    }
    return graph_.AddNode("laconic.Linear", name, inputs);
  }

  ValueId Layer(const std::string& name, const std::string& weights, ValueId x, ValueId mask) {
    const auto linear = [&](const char* part, ValueId in, std::int64_t width, bool has_bias) {
      return Linear(name + part, weights + part, in, width, has_bias);
    };
    const ValueId query = linear(".query", x, kWidth, true);
    const ValueId key = linear(".key", x, kWidth, false);
    const ValueId value = linear(".value", x, kWidth, true);
    const std::int64_t heads = 2;
    const float scale = 0.35355338F;
    const Attributes attributes = options_.has_int8_attention
                                      ? Attributes{{"num_heads", heads}, {"scale", scale}}
                                      : Attributes{{"q_num_heads", heads}, {"kv_num_heads", heads}, {"scale", scale}};
    const ValueId context = graph_.AddNode(options_.has_int8_attention ? "laconic.Int8Attention" : "Attention",
                                           name + ".attention", {query, key, value, mask}, attributes);
    const ValueId mixed = linear(".output", context, kWidth, true);
    const ValueId attended =
        Norm(name + ".norm", weights + ".norm", graph_.AddNode("Add", name + ".residual", {mixed, x}));
    const ValueId inner = graph_.AddNode("Gelu", name + ".gelu", {linear(".inner", attended, kInner, true)},
                                         {{"approximate", options_.approximate}});
    const ValueId outer = linear(".outer", inner, kWidth, true);
    return Norm(name + ".outer_norm", weights + ".outer_norm",
                graph_.AddNode("Add", name + ".outer_residual", {outer, attended}));
  }

  const TestGraphOptions options_;
  Graph graph_;
  std::mt19937 random_{20};
  std::unordered_map<ValueId, ValueId> quantized_;
};

}  // namespace

Graph MakeTestGraph(const TestGraphOptions& options) { return Builder(options).Run(); }

}  // namespace laconic::onnx_file
