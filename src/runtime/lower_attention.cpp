#include "graph/model_io.h"
#include "kernels/attention_int8/attention_int8.h"
#include "laconic/error.h"
#include "passes/attention.h"
#include "runtime/lowering.h"

namespace laconic::runtime {
namespace {

// Flat texts hold only tokens whose mask is 1, so the one mask that they stand for is the model's own attention_mask.
void CheckMask(const Graph& graph, const Node& node) {
  const Node* mask = node.inputs.size() > 3 ? graph.FindProducer(node.inputs[3]) : nullptr;
  if (mask == nullptr || mask->op != "laconic.KeyMask" || graph.value(mask->inputs[0]).name != kAttentionMask) {
    Fail(ErrorCode::kUnsupported, "Attention without a mask that says which tokens of '", kAttentionMask, "' are real");
  }
}

// Rows a step attends with, and where it writes. Inputs: query, key, value, mask.
AttentionSpec SpecOf(const Node& node, std::int64_t num_heads, float scale, PlanBuilder* builder) {
  AttentionSpec spec;
  spec.name = builder->graph().name(node);
  spec.num_heads = num_heads;
  spec.scale = scale;
  spec.q = builder->Place(node.inputs[0]);
  spec.k = builder->Place(node.inputs[1]);
  spec.v = builder->Place(node.inputs[2]);
  if (spec.q.width / num_heads > kernels::kMaxHeadDim) {
    Fail(ErrorCode::kUnsupported, "Attention with heads wider than ", kernels::kMaxHeadDim);
  }
  CheckMask(builder->graph(), node);
  if (builder->RowsOf(node.inputs[1]) != Rows::kTokens || builder->RowsOf(node.inputs[2]) != Rows::kTokens) {
    Fail(ErrorCode::kUnsupported, "Attention to first tokens alone");
  }
  spec.queries = builder->RowsOf(node.inputs[0]);
  spec.out = builder->NewPlace(node.outputs[0]);
  return spec;
}

}  // namespace

void LowerAttention(const Node& node, PlanBuilder* builder) {
  const Graph& graph = builder->graph();
  if (!passes::IsFullAttention(graph, node)) {
    Fail(ErrorCode::kUnsupported, "Attention with a past, a window, a soft cap, a mask of queries, or unlike heads");
  }
  AttentionSpec spec = SpecOf(node, IntAttribute(node, "q_num_heads"), passes::AttentionScale(graph, node), builder);
  const kernels::Precision precision = builder->options().precision;
  spec.operands = precision == kernels::Precision::kBF16 ? "bf16" : "";
  builder->Emit<AttentionStep>(kernels::GetAttention(builder->isa(), precision), std::move(spec));
}

void LowerInt8Attention(const Node& node, PlanBuilder* builder) {
  AttentionSpec spec = SpecOf(node, IntAttribute(node, "num_heads"), FloatAttribute(node, "scale"), builder);
  spec.operands = "INT8";
  LimitTo(kernels::kMaxInt8Keys, &builder->plan().max_positions);
  builder->Emit<AttentionStep>(kernels::GetAttentionInt8(builder->isa()), std::move(spec));
}

}  // namespace laconic::runtime
