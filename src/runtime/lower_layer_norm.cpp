#include "laconic/error.h"
#include "runtime/lowering.h"

namespace laconic::runtime {
namespace {

// Rows and a constant of one number a column. Such a sum is what ONNX Runtime's static quantizer leaves of a linear
// layer whose product it rounds.
bool LowerBias(const Node& add, PlanBuilder* builder) {
  const Graph& graph = builder->graph();
  for (const std::size_t i : {0U, 1U}) {
    const ValueId x = add.inputs[1 - i];
    const ValueType& type = graph.value(x).type;
    const Tensor* bias = graph.FindInitializer(add.inputs[i]);
    if (bias != nullptr && type.shape.size() >= 2 && type.shape.back().is_fixed() &&
        bias->shape() == Shape{type.shape.back().size}) {
      const Matrix rows = builder->Place(x);
      builder->Emit<BiasStep>(builder->RowsOf(x), rows, builder->Constant(add.inputs[i]),
                              builder->NewPlace(add.outputs[0]));
      return true;
    }
  }
  return false;
}

}  // namespace

// A sum that only a LayerNormalization reads is added there.
void LowerAdd(const Node& node, PlanBuilder* builder) {
  if (JoinTables(node, builder) || LowerBias(node, builder)) {
    return;
  }
  const Graph& graph = builder->graph();
  const bool are_alike = graph.value(node.inputs[0]).type == graph.value(node.inputs[1]).type &&
                         builder->RowsOf(node.inputs[0]) == builder->RowsOf(node.inputs[1]);
  if (!are_alike) {
    Fail(ErrorCode::kUnsupported, "Add of ", ToString(graph.value(node.inputs[0]).type), " and ",
         ToString(graph.value(node.inputs[1]).type));
  }
  const ValueId out = node.outputs[0];
  builder->sums[out] = {node.inputs[0], node.inputs[1]};
  const Node* consumer = builder->SoleConsumer(out);
  if (consumer == nullptr || consumer->op != "LayerNormalization") {
    builder->Place(out);
  }
}

void LowerLayerNorm(const Node& node, PlanBuilder* builder) {
  const Graph& graph = builder->graph();
  const ValueId in = node.inputs[0];
  const std::int64_t axis = IntAttribute(node, "axis");
  const auto last = static_cast<std::int64_t>(graph.value(in).type.shape.size()) - 1;
  if (node.inputs.size() != 3 || node.outputs.size() != 1 || (axis != -1 && axis != last)) {
    Fail(ErrorCode::kUnsupported, "LayerNormalization without bias, over several axes, or with statistics");
  }
  LayerNormSpec spec;
  spec.name = graph.name(node);
  const auto sum = builder->sums.find(in);
  if (sum != builder->sums.end() && !builder->HasPlace(in)) {
    spec.x = builder->Place(sum->second.first);
    spec.residual = builder->Place(sum->second.second);
  } else {
    spec.x = builder->Place(in);
  }
  spec.rows = builder->RowsOf(in);
  spec.gamma = builder->Constant(node.inputs[1]);
  spec.beta = builder->Constant(node.inputs[2]);
  spec.epsilon = FloatAttribute(node, "epsilon");
  spec.out = builder->NewPlace(node.outputs[0]);
  for (const Node* reader : builder->ReadersOf(node.outputs[0])) {  // the first quantizer runs in the same pass
    if (auto quantizer = spec.codes ? std::nullopt : FindQuantizer(*reader, *builder)) {
      spec.codes = TakeQuantizer(std::move(*quantizer), spec.rows, spec.out.width, builder);
    }
  }
  builder->Emit<LayerNormStep>(builder->isa(), std::move(spec));
}

}  // namespace laconic::runtime
