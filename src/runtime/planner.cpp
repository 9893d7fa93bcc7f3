#include "runtime/planner.h"

#include <map>
#include <set>

#include "graph/model_io.h"
#include "laconic/error.h"
#include "runtime/lowering.h"
#include "runtime/plan_builder.h"

namespace laconic::runtime {
namespace {

void LowerGather(const Node& node, PlanBuilder* builder) {
  if (IsTokenGather(node)) {
    LowerFirstToken(node, builder);
  } else {
    LowerTableLookup(node, builder);
  }
}

// Read where it is used: a weight's stored form, the mask (texts are flat: only real tokens are there), positions.
void LowerNothing(const Node&, PlanBuilder*) {}

void Lower(const Node& node, PlanBuilder* builder) {
  using Handler = void (*)(const Node&, PlanBuilder*);
  static const std::map<std::string_view, Handler> handlers = {
      {"Add", LowerAdd},
      {"Attention", LowerAttention},
      {"Cast", LowerNothing},
      {"Clip", LowerClip},
      {"DequantizeLinear", LowerDequantize},
      {"Gather", LowerGather},
      {"Gelu", LowerActivation},
      {"LayerNormalization", LowerLayerNorm},
      {"Mul", LowerMul},
      {"QuantizeLinear", LowerQuantizeLinear},
      {"Relu", LowerActivation},
      {"Tanh", LowerActivation},
      {"laconic.DynamicQuantize", LowerDynamicQuantize},
      {"laconic.Int8Attention", LowerInt8Attention},
      {"laconic.KeyMask", LowerNothing},
      {"laconic.Linear", LowerLinear},
      {"laconic.MeanPool", LowerMeanPool},
      {"laconic.Positions", LowerNothing},
  };
  const auto found = handlers.find(node.op);
  if (found == handlers.end()) {
    Fail(ErrorCode::kUnsupported, "no kernel runs ", node.op);
  }
  found->second(node, builder);
}

// --- taps -----------------------------------------------------------------------------------------------------------

bool IsTappable(const Graph& graph, ValueId value) {
  const Node* producer = graph.FindProducer(value);
  const ValueType& type = graph.value(value).type;
  if (producer == nullptr || type.dtype != DType::kF32 || !(type.has_rank(2) || type.has_rank(3))) {
    return false;
  }
  // Of a graph that runs op by op other things than rows of a text or token may be matrices: positions, masks.
  const std::optional<ValueId> ids = graph.FindValue(kInputIds);
  const ValueType ids_type = ids ? graph.value(*ids).type : ValueType();
  const auto is_as_ids = [&](std::size_t axis) {
    return !ids_type.has_rank(2) || type.shape[axis] == ids_type.shape[axis];
  };
  if (!type.shape.back().is_fixed() || !is_as_ids(0) || (type.has_rank(3) && !is_as_ids(1))) {
    return false;
  }
  const bool is_stored_weight = (producer->op == "DequantizeLinear" || producer->op == "Cast") &&
                                graph.FindInitializer(producer->inputs[0]) != nullptr;
  return !is_stored_weight;
}

ValueId TappedValue(const Graph& graph, const std::string& name) {
  const std::optional<ValueId> value = graph.FindValue(name);
  if (!value) {
    Fail(ErrorCode::kInvalidArgument, "the graph has no value '", name, "'");
  }
  if (!IsTappable(graph, *value)) {
    Fail(ErrorCode::kInvalidArgument, "'", name, "' of type ", laconic::ToString(graph.value(*value).type),
         " cannot be tapped: expected rows of f32 that the graph computes");
  }
  return *value;
}

using Taps = std::map<ValueId, std::vector<std::size_t>>;  // of each value: its places in the list asked for

void EmitTaps(const Node& node, const Taps& taps, TapSink* sink, PlanBuilder* builder) {
  for (const ValueId output : node.outputs) {
    const auto found = taps.find(output);
    if (found == taps.end()) {
      continue;
    }
    const Matrix place = builder->Place(output);
    for (const std::size_t tap : found->second) {
      builder->Emit<TapStep>(sink, tap, builder->graph().value(output).name, builder->RowsOf(output), place);
    }
  }
}

}  // namespace

std::vector<std::string> TappableValues(const Graph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes()) {
    for (const ValueId output : node.outputs) {
      if (output != kNoValue && IsTappable(graph, output)) {
        names.push_back(graph.value(output).name);
      }
    }
  }
  return names;
}

Plan MakePlan(const Graph& graph, const PlanOptions& options, std::span<const std::string> taps, TapSink* sink,
              PackStore* packs) {
  Taps tapped;
  std::set<ValueId> tapped_values;
  for (std::size_t i = 0; i < taps.size(); ++i) {
    const ValueId value = TappedValue(graph, taps[i]);
    tapped[value].push_back(i);
    tapped_values.insert(value);
  }
  PlanBuilder builder(graph, options, std::move(tapped_values), packs);
  for (const Node& node : graph.nodes()) {
    if (!builder.IsDone(&node)) {
      WithFrame([&] { return "node '" + graph.name(node) + "'"; }, [&] { Lower(node, &builder); });
    }
    EmitTaps(node, tapped, sink, &builder);
  }
  if (graph.outputs().size() != 1) {
    Fail(ErrorCode::kUnsupported, "a graph with ", graph.outputs().size(), " outputs; expected 1");
  }
  const ValueId output = graph.outputs()[0];
  if (builder.RowsOf(output) != Rows::kTexts) {
    Fail(ErrorCode::kUnsupported, "output '", graph.value(output).name, "' of type ",
         laconic::ToString(graph.value(output).type), " has a row a token; expected a row a text");
  }
  Plan& plan = builder.plan();
  plan.tap_sink = sink;
  plan.output = builder.Place(output);
  FinishPlan(&plan);
  return std::move(plan);
}

}  // namespace laconic::runtime
