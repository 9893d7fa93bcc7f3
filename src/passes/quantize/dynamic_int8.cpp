#include "passes/quantize/dynamic_int8.h"

#include <unordered_map>
#include <utility>
#include <vector>

#include "base/cancel.h"
#include "laconic/error.h"
#include "passes/layer_selection.h"

namespace laconic::passes {
namespace {

class Rewrite {
 public:
  Rewrite(const Graph& graph, const std::set<std::string>& layers, const Int8Options& options,
          const ProgressFn& progress)
      : graph_(graph), layers_(layers), progress_(progress), copy_(graph, &out_), weights_(graph, options, &out_) {}

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
      const ValueId table = weights_(layer);
      copy_.Map(node.outputs[0], out_.AddNode(node.op, name, {table, copy_(node.inputs[1])}, node.attributes));
      return;
    }
    std::vector<ValueId> inputs = {QuantizedInput(node.inputs[0]), weights_(layer)};
    const ValueId bias = node.inputs.size() > 2 ? node.inputs[2] : kNoValue;
    const ValueId shifted = weights_.ShiftedBias(layer, bias);
    if (shifted != kNoValue || bias != kNoValue) {
      inputs.push_back(shifted != kNoValue ? shifted : copy_(bias));
    }
    copy_.Map(node.outputs[0], out_.AddNode(node.op, name, std::move(inputs), node.attributes));
  }

  ValueId QuantizedInput(ValueId input) {
    const auto found = inputs_.find(input);
    if (found != inputs_.end()) {
      return found->second;
    }
    const ValueId quantized = out_.AddNode("laconic.DynamicQuantize", graph_.value(input).name + "_quantized",
                                           {weights_.Smoothed(input, copy_(input))});
    inputs_.emplace(input, quantized);
    return quantized;
  }

  const Graph& graph_;
  const std::set<std::string>& layers_;
  const ProgressFn& progress_;
  Graph out_;
  GraphCopier copy_;
  Int8Weights weights_;
  std::unordered_map<ValueId, ValueId> inputs_;  // in graph_ -> quantized in out_
};

}  // namespace

Graph QuantizeDynamicInt8(const Graph& graph, const std::set<std::string>& layers, const ProgressFn& progress,
                          const Int8Options& options) {
  return Rewrite(graph, layers, options, progress).Run();
}

}  // namespace laconic::passes
