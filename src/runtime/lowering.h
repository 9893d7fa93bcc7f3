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
void LowerMul(const Node& node, PlanBuilder* builder);
void LowerDynamicQuantize(const Node& node, PlanBuilder* builder);
void LowerQuantizeLinear(const Node& node, PlanBuilder* builder);
void LowerDequantize(const Node& node, PlanBuilder* builder);
std::optional<ScaledRows> FindScaledRows(const Graph& graph, const Node& mul);  // rows by a constant for each column
bool IsPerToken(const Node& dynamic_quantize);

// lower_linear.cpp
void LowerLinear(const Node& node, PlanBuilder* builder);
void LowerActivation(const Node& node, PlanBuilder* builder);

// lower_attention.cpp
void LowerAttention(const Node& node, PlanBuilder* builder);

}  // namespace laconic::runtime
