#include "passes/quantize/dynamic_int8.h"

#include <unordered_map>
#include <utility>
#include <vector>

#include "base/cancel.h"
#include "laconic/error.h"
#include "passes/layer_selection.h"
#include "quant/weights.h"

namespace laconic::passes {
namespace {

struct QuantizedRows {
  Tensor codes;  // s8, as the weight
  Tensor scale;  // f32 [rows]
};

// `weight` [rows, cols], one scale a row.
QuantizedRows QuantizeRows(const Tensor& weight) {
  const std::int64_t rows = weight.shape()[0];
  const std::int64_t cols = weight.shape()[1];
  std::vector<float> scale(static_cast<std::size_t>(rows));
  Tensor codes = Tensor::Make(DType::kS8, weight.shape(), [&](std::byte* data) {
    for (std::int64_t row = 0; row < rows; ++row) {
      const Tensor values = weight.Slice(row, row + 1).Contiguous();
      const std::span<std::int8_t> out(reinterpret_cast<std::int8_t*>(data) + row * cols,
                                       static_cast<std::size_t>(cols));
      scale[static_cast<std::size_t>(row)] =
          WithFrame([&] { return "row " + std::to_string(row); },
                    [&] { return quant::QuantizeRowS8(values.values<float>(), out); });
    }
  });
  return {std::move(codes), Tensor::FromValues<float>({rows}, scale)};
}

class Rewrite {
 public:
  Rewrite(const Graph& graph, const std::set<std::string>& layers, const ProgressFn& progress)
      : graph_(graph), layers_(layers), progress_(progress), copy_(graph, &out_) {}

  Graph Run() {
    std::int64_t done = 0;
    for (const Node& node : graph_.nodes()) {
      ThrowIfCancelled();
      Layer layer;
      if (FindLayer(graph_, node, &layer) && layers_.contains(layer.name)) {
        WithFrame([&] { return "layer '" + layer.name + "'"; }, [&] { Quantize(node, layer); });
      } else {
        copy_.CopyNode(node);
      }
      Report(progress_, "quantizing", ++done, static_cast<std::int64_t>(graph_.nodes().size()));
    }
    copy_.CopyOutputs();
    return std::move(out_);
  }

 private:
  void Quantize(const Node& node, const Layer& layer) {
    const std::string& name = graph_.name(node);
    if (layer.kind == LayerKind::kEmbedding) {
      const ValueId table = QuantizedWeight(layer);
      copy_.Map(node.outputs[0], out_.AddNode(node.op, name, {table, copy_(node.inputs[1])}, node.attributes));
      return;
    }
    const ValueId input = QuantizedInput(node.inputs[0]);
    std::vector<ValueId> inputs = {input, QuantizedWeight(layer)};
    if (node.inputs.size() > 2) {
      inputs.push_back(copy_(node.inputs[2]));
    }
    copy_.Map(node.outputs[0], out_.AddNode(node.op, name, std::move(inputs), node.attributes));
  }

  // The weight as DequantizeLinear(codes, scale), under the weight's own name.
  ValueId QuantizedWeight(const Layer& layer) {
    const auto found = weights_.find(layer.weight);
    if (found != weights_.end()) {
      return found->second;
    }
    const Tensor& weight = *graph_.FindInitializer(layer.weight);
    const std::string& name = graph_.value(layer.weight).name;
    const bool linear = layer.kind == LayerKind::kLinear;
    const QuantizedRows rows = QuantizeRows(linear ? weight.Transposed() : weight);
    weight.ReleasePages();
    const ValueId codes = out_.AddInitializer(name + "_quantized", linear ? rows.codes.Transposed() : rows.codes);
    const ValueId scale = out_.AddInitializer(name + "_scale", rows.scale);
    const ValueId dequantized =
        out_.AddNode("DequantizeLinear", name, {codes, scale}, {{"axis", std::int64_t{linear ? 1 : 0}}});
    weights_.emplace(layer.weight, dequantized);
    return dequantized;
  }

  ValueId QuantizedInput(ValueId input) {
    const auto found = inputs_.find(input);
    if (found != inputs_.end()) {
      return found->second;
    }
    const ValueId quantized =
        out_.AddNode("laconic.DynamicQuantize", graph_.value(input).name + "_quantized", {copy_(input)});
    inputs_.emplace(input, quantized);
    return quantized;
  }

  const Graph& graph_;
  const std::set<std::string>& layers_;
  const ProgressFn& progress_;
  Graph out_;
  GraphCopier copy_;
  std::unordered_map<ValueId, ValueId> weights_;  // in graph_ -> dequantized in out_
  std::unordered_map<ValueId, ValueId> inputs_;   // in graph_ -> quantized in out_
};

}  // namespace

Graph QuantizeDynamicInt8(const Graph& graph, const std::set<std::string>& layers, const ProgressFn& progress) {
  return Rewrite(graph, layers, progress).Run();
}

}  // namespace laconic::passes
