#include "passes/quantized_layers.h"

#include "graph/ops.h"
#include "passes/layer_selection.h"
#include "quant/static.h"

namespace laconic::passes {
namespace {

// The factor per column that `node` multiplies rows by; null if it does something else.
const Tensor* FindColumnFactor(const Graph& graph, const Node& node) {
  if (node.op != "Mul") {
    return nullptr;
  }
  const Tensor* factor = graph.FindInitializer(node.inputs[1]);
  const ValueType& type = graph.value(node.outputs[0]).type;
  const bool per_column = factor != nullptr && factor->dtype() == DType::kF32 && type.has_shape &&
                          !type.shape.empty() && factor->shape().size() == 1 &&
                          type.shape.back() == Dim(factor->shape()[0]);
  return per_column ? factor : nullptr;
}

template <typename T>
std::optional<T> FindScalar(const Graph& graph, ValueId value) {
  const Tensor* tensor = graph.FindInitializer(value);
  if (tensor == nullptr || tensor->dtype() != kDTypeOf<T> || tensor->num_elements() != 1) {
    return std::nullopt;
  }
  return tensor->Contiguous().values<T>()[0];
}

// Steps over the Clip that keeps a static quantizer to some of its codes, and notes which.
void StepOverClip(const Graph& graph, InputQuantizer* input) {
  const Node* clip = graph.FindProducer(input->source);
  if (clip == nullptr || clip->op != "Clip" || clip->inputs.size() != 3) {
    return;
  }
  const std::optional<float> lo = FindScalar<float>(graph, clip->inputs[1]);
  const std::optional<float> hi = FindScalar<float>(graph, clip->inputs[2]);
  if (lo && hi) {
    input->quantizer.fixed->limits = quant::CodesWithin(*lo, *hi, *input->quantizer.fixed);
    input->source = clip->inputs[0];
  }
}

bool FindQuantizer(const Graph& graph, ValueId rounded, InputQuantizer* input) {
  const Node* node = graph.FindProducer(rounded);
  if (node != nullptr && node->op == "DequantizeLinear") {
    node = graph.FindProducer(node->inputs[0]);
  }
  const bool is_static = node != nullptr && node->op == "QuantizeLinear";
  if (node == nullptr || (node->op != "laconic.DynamicQuantize" && !is_static)) {
    return false;
  }
  if (is_static && !(input->quantizer.fixed = FindStaticParams(graph, *node))) {
    return false;
  }
  input->rounded = rounded;
  input->source = node->inputs[0];
  input->per_text = !is_static && StringAttribute(*node, kGranularity) == kPerTensor;
  if (is_static) {
    StepOverClip(graph, input);
  }
  const Node* before = graph.FindProducer(input->source);
  const Tensor* factor = before == nullptr ? nullptr : FindColumnFactor(graph, *before);
  if (factor != nullptr) {
    const Tensor values = factor->Contiguous();
    input->quantizer.inv_smooth.assign(values.values<float>().begin(), values.values<float>().end());
    input->source = before->inputs[0];
  }
  return true;
}

bool FindWeight(const Graph& graph, ValueId weight, QuantizedLinear* layer) {
  const Node* dequantize = graph.FindProducer(weight);
  if (dequantize == nullptr || dequantize->op != "DequantizeLinear") {
    return false;
  }
  const Tensor* codes = graph.FindInitializer(dequantize->inputs[0]);
  const bool fits =
      codes != nullptr && codes->shape().size() == 2 && (codes->dtype() == DType::kS8 || codes->dtype() == DType::kU8);
  layer->codes = fits ? codes : nullptr;
  layer->zero_point = dequantize->inputs.size() > 2 ? graph.FindInitializer(dequantize->inputs[2]) : nullptr;
  return fits;
}

}  // namespace

std::optional<quant::QuantParams> FindStaticParams(const Graph& graph, const Node& node) {
  using S32 = std::optional<std::int32_t>;
  const DType dtype = graph.value(node.op == "QuantizeLinear" ? node.outputs[0] : node.inputs[0]).type.dtype;
  const std::optional<float> scale = FindScalar<float>(graph, node.inputs[1]);
  S32 zero_point = 0;
  if (node.inputs.size() > 2 && node.inputs[2] != kNoValue) {
    zero_point = dtype == DType::kS8 ? S32(FindScalar<std::int8_t>(graph, node.inputs[2]))
                                     : S32(FindScalar<std::uint8_t>(graph, node.inputs[2]));
  }
  const bool is_8_bit = dtype == DType::kU8 || dtype == DType::kS8;
  return is_8_bit && scale && zero_point ? std::optional(quant::QuantParams{*scale, *zero_point, dtype}) : std::nullopt;
}

std::vector<QuantizedLinear> FindQuantizedLinears(const Graph& graph) {
  std::vector<QuantizedLinear> layers;
  for (const Node& node : graph.nodes()) {
    QuantizedLinear layer;
    if (node.op == "laconic.Linear" && FindQuantizer(graph, node.inputs[0], &layer.input) &&
        FindWeight(graph, node.inputs[1], &layer)) {
      layer.name = LayerName(graph, node.inputs[1]);
      layer.node = &node;
      layers.push_back(std::move(layer));
    }
  }
  return layers;
}

}  // namespace laconic::passes
