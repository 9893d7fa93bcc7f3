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

}  // namespace

void LowerAttention(const Node& node, PlanBuilder* builder) {
  if (!IsFullAttention(node)) {
    Fail(ErrorCode::kUnsupported, "Attention with a past, a window, a soft cap, or without heads or scale");
  }
  AttentionSpec spec;
  spec.name = builder->graph().name(node);
  spec.num_heads = IntAttribute(node, "q_num_heads");
  spec.scale = FloatAttribute(node, "scale");
  spec.precision = builder->options().precision;
  spec.q = builder->Place(node.inputs[0]);
  spec.k = builder->Place(node.inputs[1]);
  spec.v = builder->Place(node.inputs[2]);
  if (IntAttribute(node, "kv_num_heads") != spec.num_heads || spec.q.width != spec.v.width ||
      spec.q.width != spec.k.width || spec.q.width / spec.num_heads > kernels::kMaxHeadDim) {
    Fail(ErrorCode::kUnsupported, "Attention with unlike heads, or heads wider than ", kernels::kMaxHeadDim);
  }
  CheckMask(builder->graph(), node);
  if (builder->RowsOf(node.inputs[1]) != Rows::kTokens || builder->RowsOf(node.inputs[2]) != Rows::kTokens) {
    Fail(ErrorCode::kUnsupported, "Attention to first tokens alone");
  }
  spec.queries = builder->RowsOf(node.inputs[0]);
  spec.out = builder->NewPlace(node.outputs[0]);
  builder->Emit<AttentionStep>(builder->isa(), std::move(spec));
}

}  // namespace laconic::runtime
