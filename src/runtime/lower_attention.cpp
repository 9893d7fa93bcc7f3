#include "kernels/attention_int8/attention_int8.h"
#include "laconic/error.h"
#include "models/encoder.h"
#include "runtime/lowering.h"

namespace laconic::runtime {
namespace {

// All queries of a text see all its keys, by their scores alone.
bool IsFullAttention(const Node& node) {
  return node.inputs.size() <= 4 && node.outputs.size() == 1 && IntAttribute(node, "is_causal") == 0 &&
         FloatAttribute(node, "softcap") == 0 && IntAttribute(node, "left_window_size") < 0 &&
         IntAttribute(node, "right_window_size") < 0 && IntAttribute(node, "q_num_heads") > 0 &&
         FloatAttribute(node, "scale") != 0;
}

// Flat texts hold only tokens whose mask is 1, so the one mask that they stand for is the model's own attention_mask.
void CheckMask(const Graph& graph, const Node& node) {
  const Node* mask = node.inputs.size() > 3 ? graph.FindProducer(node.inputs[3]) : nullptr;
  if (mask == nullptr || mask->op != "laconic.KeyMask" || graph.value(mask->inputs[0]).name != models::kAttentionMask) {
    Fail(ErrorCode::kUnsupported, "Attention without a mask that says which tokens of '", models::kAttentionMask,
         "' are real");
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
  if (spec.q.width != spec.v.width || spec.q.width != spec.k.width || spec.q.width / num_heads > kernels::kMaxHeadDim) {
    Fail(ErrorCode::kUnsupported, "Attention with unlike heads, or heads wider than ", kernels::kMaxHeadDim);
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
  if (!IsFullAttention(node)) {
    Fail(ErrorCode::kUnsupported, "Attention with a past, a window, a soft cap, or without heads or scale");
  }
  const std::int64_t num_heads = IntAttribute(node, "q_num_heads");
  if (IntAttribute(node, "kv_num_heads") != num_heads) {
    Fail(ErrorCode::kUnsupported, "Attention with unlike heads");
  }
  AttentionSpec spec = SpecOf(node, num_heads, FloatAttribute(node, "scale"), builder);
  const kernels::Precision precision = builder->options().precision;
  spec.operands = precision == kernels::Precision::kBF16 ? "bf16" : "";
  builder->Emit<AttentionStep>(kernels::GetAttention(builder->isa(), precision), std::move(spec));
}

void LowerInt8Attention(const Node& node, PlanBuilder* builder) {
  AttentionSpec spec = SpecOf(node, IntAttribute(node, "num_heads"), FloatAttribute(node, "scale"), builder);
  spec.operands = "INT8";
  builder->plan().LimitPositions(kernels::kMaxInt8Keys);
  builder->Emit<AttentionStep>(kernels::GetAttentionInt8(builder->isa()), std::move(spec));
}

}  // namespace laconic::runtime
