#include "laconic/error.h"
#include "runtime/lowering.h"

namespace laconic::runtime {
namespace {

// A quantizer that reads what is normalised, or that times a factor a column, runs in the same pass over the row.
void QuantizeAlong(ValueId normalised, PlanBuilder* builder, LayerNormSpec* spec) {
  for (const Node* reader : builder->ReadersOf(normalised)) {
    const Node* quantizer = reader;
    Tensor multiplier;
    if (const auto scaled = reader->op == "Mul" ? FindScaledRows(builder->graph(), *reader) : std::nullopt) {
      quantizer = builder->SoleConsumer(reader->outputs[0]);
      multiplier = scaled->multiplier;
    }
    if (quantizer != nullptr && quantizer->op == "laconic.DynamicQuantize" && IsPerToken(*quantizer)) {
      spec->quantized = builder->NewQuantized(quantizer->outputs[0], spec->rows, spec->out.width);
      spec->multiplier = multiplier;
      builder->plan().memory_bytes += multiplier.size_bytes();
      builder->MarkDone(reader);
      builder->MarkDone(quantizer);
      return;
    }
  }
}

}  // namespace

// A sum that only a LayerNormalization reads is added there.
void LowerAdd(const Node& node, PlanBuilder* builder) {
  if (JoinTables(node, builder)) {
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
  QuantizeAlong(node.outputs[0], builder, &spec);
  builder->Emit<LayerNormStep>(builder->isa(), std::move(spec));
}

}  // namespace laconic::runtime
