// One handler an op: what a node becomes in a plan. A handler emits a step, or notes in the builder what the step that
// reads the node's output must know. Errors: kUnsupported for what no step computes, naming what was expected.
#pragma once

#include <optional>

#include "graph/graph.h"
#include "runtime/plan_builder.h"

namespace laconic::runtime {

// lower_embedding.cpp
void LowerTableLookup(const Node& node, PlanBuilder* builder);  // Gather along axis 0
// A sum of table rows becomes one look-up. False: it is another sum.
bool JoinTables(const Node& add, PlanBuilder* builder);

// lower_pooling.cpp
void LowerFirstToken(const Node& node, PlanBuilder* builder);  // Gather along axis 1
void LowerMeanPool(const Node& node, PlanBuilder* builder);

// lower_layer_norm.cpp
void LowerAdd(const Node& node, PlanBuilder* builder);
void LowerLayerNorm(const Node& node, PlanBuilder* builder);

// lower_quantize.cpp
void LowerClip(const Node& node, PlanBuilder* builder);
void LowerMul(const Node& node, PlanBuilder* builder);
void LowerDynamicQuantize(const Node& node, PlanBuilder* builder);
void LowerQuantizeLinear(const Node& node, PlanBuilder* builder);
void LowerDequantize(const Node& node, PlanBuilder* builder);

// The quantizer that `reader` is, or that alone reads the rows that `reader` multiplies by a factor a column; none if
// it is no such thing, or its scale is that of a text.
struct Quantizer {
  const Node* reader = nullptr;
  const Node* node = nullptr;
  CodesSpec codes;  // but for where they lie
};
std::optional<Quantizer> FindQuantizer(const Node& reader, const PlanBuilder& builder);
// Of a step that computes `quantizer` along with the rows that it reads: both nodes are done.
CodesSpec TakeQuantizer(Quantizer quantizer, Rows rows, std::int64_t width, PlanBuilder* builder);

// lower_linear.cpp
void LowerLinear(const Node& node, PlanBuilder* builder);
void LowerActivation(const Node& node, PlanBuilder* builder);

// lower_attention.cpp
void LowerAttention(const Node& node, PlanBuilder* builder);
void LowerInt8Attention(const Node& node, PlanBuilder* builder);

}  // namespace laconic::runtime
