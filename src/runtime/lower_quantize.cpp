#include <cmath>

#include "graph/ops.h"
#include "laconic/error.h"
#include "passes/quantized_layers.h"
#include "quant/static.h"
#include "runtime/lowering.h"

namespace laconic::runtime {
namespace {

// Of what makes `out` of the rows `in`.
QuantizeSpec SpecOf(ValueId in, ValueId out, PlanBuilder* builder) {
  const auto scaled = builder->scaled.find(in);
  QuantizeSpec spec;
  spec.rows = builder->RowsOf(in);
  if (scaled != builder->scaled.end() && !builder->HasPlace(in)) {
    spec.x = builder->Place(scaled->second.x);
    spec.multiplier = scaled->second.multiplier;
  } else {
    spec.x = builder->Place(in);
  }
  spec.out = builder->NewQuantized(out, spec.rows, spec.x.width);
  return spec;
}

quant::QuantParams ParamsOf(const Graph& graph, const Node& node) {
  const std::optional<quant::QuantParams> params = passes::FindStaticParams(graph, node);
  if (!params) {
    Fail(ErrorCode::kUnsupported, node.op, ": expected u8 or s8 by one constant scale and zero point for all");
  }
  if (!(params->scale > 0) || !std::isfinite(params->scale)) {
    Fail(ErrorCode::kInvalidFile, node.op, ": expected a scale above 0, got ", params->scale);
  }
  return *params;
}

StaticScale StaticScaleOf(const quant::QuantParams& params) { return {params.scale, quant::ZeroPointAsU8(params)}; }

// Rows by a constant for each column.
std::optional<ScaledRows> FindScaledRows(const Graph& graph, const Node& mul) {
  for (const std::size_t i : {0U, 1U}) {
    const Tensor* factors = graph.FindInitializer(mul.inputs[i]);
    const ValueType& type = graph.value(mul.inputs[1 - i]).type;
    if (factors != nullptr && factors->dtype() == DType::kF32 && type.shape.size() >= 2 &&
        type.shape.back().is_fixed() && factors->shape() == Shape{type.shape.back().size}) {
      return ScaledRows{mul.inputs[1 - i], factors->Contiguous()};
    }
  }
  return std::nullopt;
}

bool IsPerToken(const Node& dynamic_quantize) { return StringAttribute(dynamic_quantize, kGranularity) == kPerToken; }

}  // namespace

std::optional<Quantizer> FindQuantizer(const Node& reader, const PlanBuilder& builder) {
  Quantizer found = {&reader, &reader, {}};
  if (const auto scaled = reader.op == "Mul" ? FindScaledRows(builder.graph(), reader) : std::nullopt) {
    found.node = builder.SoleConsumer(reader.outputs[0]);
    found.codes.multiplier = scaled->multiplier;
  }
  if (found.node != nullptr && found.node->op == "QuantizeLinear") {
    found.codes.fixed = StaticScaleOf(ParamsOf(builder.graph(), *found.node));
    return found;
  }
  const bool is_per_token =
      found.node != nullptr && found.node->op == "laconic.DynamicQuantize" && IsPerToken(*found.node);
  return is_per_token ? std::optional(found) : std::nullopt;
}

CodesSpec TakeQuantizer(Quantizer quantizer, Rows rows, std::int64_t width, PlanBuilder* builder) {
  const ValueId out = quantizer.node->outputs[0];
  quantizer.codes.out = builder->NewQuantized(out, rows, width);
  if (quantizer.codes.fixed) {
    builder->params[out] = ParamsOf(builder->graph(), *quantizer.node);
  }
  builder->plan().memory_bytes += quantizer.codes.multiplier.size_bytes();
  builder->MarkDone(quantizer.reader);
  builder->MarkDone(quantizer.node);
  return std::move(quantizer.codes);
}

// Multiplied where it is read, if quantizers alone read it.
void LowerMul(const Node& node, PlanBuilder* builder) {
  const std::optional<ScaledRows> scaled = FindScaledRows(builder->graph(), node);
  if (!scaled) {
    Fail(ErrorCode::kUnsupported, "Mul of other than rows by a constant for each column");
  }
  builder->plan().memory_bytes += scaled->multiplier.size_bytes();
  builder->scaled[node.outputs[0]] = *scaled;
}

// Clipped where it is read, if quantizers alone read it.
void LowerClip(const Node& node, PlanBuilder* builder) {
  ClippedRows rows = {node.inputs[0]};
  const auto read_bound = [&](std::size_t i, float* bound) {
    const Tensor* tensor = node.inputs.size() > i ? builder->graph().FindInitializer(node.inputs[i]) : nullptr;
    if (tensor == nullptr || tensor->dtype() != DType::kF32 || tensor->num_elements() != 1) {
      Fail(ErrorCode::kUnsupported, "Clip without two constant bounds of f32");
    }
    *bound = tensor->Contiguous().values<float>()[0];
  };
  read_bound(1, &rows.lo);
  read_bound(2, &rows.hi);
  if (!(rows.lo <= rows.hi)) {
    Fail(ErrorCode::kUnsupported, "Clip to ", rows.lo, " to ", rows.hi);
  }
  builder->clipped[node.outputs[0]] = rows;
}

void LowerDynamicQuantize(const Node& node, PlanBuilder* builder) {
  if (IsPerToken(node)) {
    builder->Emit<QuantizeStep>(builder->isa(), SpecOf(node.inputs[0], node.outputs[0], builder));
  } else {
    builder->Emit<QuantizeTextStep>(builder->isa(), SpecOf(node.inputs[0], node.outputs[0], builder));
  }
}

void LowerQuantizeLinear(const Node& node, PlanBuilder* builder) {
  quant::QuantParams params = ParamsOf(builder->graph(), node);
  builder->params[node.outputs[0]] = params;
  ValueId in = node.inputs[0];
  // A clipped value has the code that the clipped code is: both rise with the value.
  if (const auto clipped = builder->clipped.find(in); clipped != builder->clipped.end() && !builder->HasPlace(in)) {
    in = clipped->second.x;
    params.limits = quant::CodesWithin(clipped->second.lo, clipped->second.hi, params);
  }
  builder->Emit<QuantizeStaticStep>(builder->isa(), SpecOf(in, node.outputs[0], builder), params);
}

// A weight is read in its stored form; rows stay codes for whoever can read them.
void LowerDequantize(const Node& node, PlanBuilder* builder) {
  if (builder->graph().FindInitializer(node.inputs[0]) != nullptr) {
    return;
  }
  const auto params = builder->params.find(node.inputs[0]);
  if (params == builder->params.end() || ParamsOf(builder->graph(), node) != params->second) {
    Fail(ErrorCode::kUnsupported, "DequantizeLinear of other than what a QuantizeLinear with its parameters gives");
  }
  QuantizedMatrix codes = builder->quantized.at(node.inputs[0]);
  codes.fixed = StaticScaleOf(params->second);
  builder->quantized[node.outputs[0]] = codes;
}

}  // namespace laconic::runtime
