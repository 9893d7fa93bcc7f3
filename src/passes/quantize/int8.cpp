#include "passes/quantize/int8.h"

#include <algorithm>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/cancel.h"
#include "graph/ops.h"
#include "laconic/error.h"
#include "passes/attention.h"
#include "passes/layer_selection.h"

namespace laconic::passes {
namespace {

template <typename T>
Tensor Scalar(T value) {
  return Tensor::FromValues<T>({}, std::span<const T>(&value, 1));
}

Tensor ZeroPoint(const quant::QuantParams& params) {
  return params.dtype == DType::kS8 ? Scalar(static_cast<std::int8_t>(params.zero_point))
                                    : Scalar(static_cast<std::uint8_t>(params.zero_point));
}

class Rewrite {
 public:
  Rewrite(const Graph& graph, const std::set<std::string>& layers, const Int8Options& options,
          const ProgressFn& progress)
      : graph_(graph),
        layers_(layers),
        options_(options),
        progress_(progress),
        copy_(graph, &out_),
        weights_(graph, options.qconfig, options.rounding, &out_) {}

  Graph Run() {
    std::int64_t done = 0;
    for (const Node& node : graph_.nodes()) {
      ThrowIfCancelled();
      if (const auto layer = FindLayer(graph_, node, layers_)) {
        WithFrame([&] { return "layer '" + layer->name + "'"; }, [&] { Quantize(node, *layer); });
      } else if (options_.qconfig.int8_attention && CanBeInt8(node)) {
        AddInt8Attention(node);
      } else {
        copy_.CopyNode(node);
      }
      Report(progress_, "quantizing", ++done, static_cast<std::int64_t>(graph_.nodes().size()));
    }
    copy_.CopyOutputs();
    return std::move(out_);
  }

 private:
  bool CanBeInt8(const Node& node) const { return IsFullAttention(graph_, node) && AttentionScale(graph_, node) > 0; }

  void AddInt8Attention(const Node& node) {
    std::vector<ValueId> inputs;
    std::ranges::transform(node.inputs, std::back_inserter(inputs), [this](ValueId input) { return copy_(input); });
    copy_.Map(node.outputs[0], out_.AddNode("laconic.Int8Attention", graph_.name(node), std::move(inputs),
                                            {{"num_heads", IntAttribute(node, "q_num_heads")},
                                             {"scale", AttentionScale(graph_, node)}}));
  }

  void Quantize(const Node& node, const Layer& layer) {
    const std::string& name = graph_.name(node);
    if (layer.kind == LayerKind::kEmbedding) {
      const ValueId table = weights_(layer);
      copy_.Map(node.outputs[0], out_.AddNode(node.op, name, {table, copy_(node.inputs[1])}, node.attributes));
      return;
    }
    std::vector<ValueId> inputs = {QuantizedInput(node.inputs[0], layer), weights_(layer)};
    const ValueId bias = node.inputs.size() > 2 ? node.inputs[2] : kNoValue;
    const ValueId shifted = weights_.ShiftedBias(layer, bias);
    if (shifted != kNoValue || bias != kNoValue) {
      inputs.push_back(shifted != kNoValue ? shifted : copy_(bias));
    }
    copy_.Map(node.outputs[0], out_.AddNode(node.op, name, std::move(inputs), node.attributes));
  }

  ValueId QuantizedInput(ValueId input, const Layer& layer) {
    const auto found = inputs_.find(input);
    if (found != inputs_.end()) {
      return found->second;
    }
    const ValueId quantized = options_.is_static ? AddStatic(input) : AddDynamic(input, layer);
    inputs_.emplace(input, quantized);
    return quantized;
  }

  ValueId AddDynamic(ValueId input, const Layer& layer) {
    const bool per_tensor = options_.qconfig.OfLayer(layer.name).activations.granularity == Granularity::kTensor;
    return out_.AddNode("laconic.DynamicQuantize", graph_.value(input).name + "_quantized",
                        {weights_.Smoothed(input, copy_(input))},
                        {{std::string(kGranularity), std::string(per_tensor ? kPerTensor : kPerToken)}});
  }

  ValueId AddStatic(ValueId input) {
    const auto found = options_.ranges.find(graph_.value(input).name);
    if (found == options_.ranges.end()) {
      Fail(ErrorCode::kInvalidArgument, "no range for '", graph_.value(input).name, "', which it reads");
    }
    const ValueId exact = copy_(input);
    const ValueId x = weights_.Smoothed(input, exact);
    const std::string name = out_.value(x).name;
    const ValueId scale = out_.AddInitializer(name + "_scale", Scalar(found->second.scale));
    const ValueId zero_point = out_.AddInitializer(name + "_zero_point", ZeroPoint(found->second));
    const ValueId clipped = Clipped(x, found->second);
    const ValueId q = out_.AddNode("QuantizeLinear", name + "_QuantizeLinear_Output", {clipped, scale, zero_point});
    return out_.AddNode("DequantizeLinear", name + (x == exact ? "_DequantizeLinear_Output" : "_dequantized"),
                        {q, scale, zero_point});
  }

  // A bound is a whole number n of scales, |n| < 2^8, so n * scale / scale rounds to n: past the bound the code is n's.
  ValueId Clipped(ValueId x, const quant::QuantParams& params) {
    if (!params.limits) {
      return x;
    }
    const std::string name = out_.value(x).name + "_clipped";
    const auto bound = [&](const char* which, std::int32_t code) {
      return out_.AddInitializer(name + which, Scalar(static_cast<float>(code - params.zero_point) * params.scale));
    };
    return out_.AddNode("Clip", name, {x, bound("_min", params.limits->min), bound("_max", params.limits->max)});
  }

  const Graph& graph_;
  const std::set<std::string>& layers_;
  const Int8Options& options_;
  const ProgressFn& progress_;
  Graph out_;
  GraphCopier copy_;
  Int8Weights weights_;
  std::unordered_map<ValueId, ValueId> inputs_;  // in graph_ -> quantized in out_
};

}  // namespace

Graph QuantizeInt8(const Graph& graph, const std::set<std::string>& layers, const Int8Options& options,
                   const ProgressFn& progress) {
  return Rewrite(graph, layers, options, progress).Run();
}

}  // namespace laconic::passes
