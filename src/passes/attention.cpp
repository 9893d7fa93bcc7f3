#include "passes/attention.h"

#include <algorithm>
#include <cmath>

namespace laconic::passes {
namespace {

bool HasMaskOfKeys(const Graph& graph, const Node& node) {
  constexpr std::size_t kMask = 3;
  if (node.inputs.size() <= kMask || node.inputs[kMask] == kNoValue) {
    return true;
  }
  const Node* mask = graph.FindProducer(node.inputs[kMask]);
  return mask != nullptr && mask->op == "laconic.KeyMask";
}

// Query, key and value of one fixed width.
bool AreAlikeWide(const Graph& graph, const Node& node) {
  const ValueType& query = graph.value(node.inputs[0]).type;
  return std::all_of(node.inputs.begin(), node.inputs.begin() + 3, [&](ValueId input) {
    const ValueType& type = graph.value(input).type;
    return type.has_rank(3) && type.dtype == DType::kF32 && type.shape[2].is_fixed() && type.shape[2] == query.shape[2];
  });
}

}  // namespace

bool HasFreeQueries(const Graph& graph, const Node& node) {
  if (node.op == "laconic.Int8Attention") {
    return HasMaskOfKeys(graph, node);
  }
  return node.op == "Attention" && node.inputs.size() <= 4 && HasMaskOfKeys(graph, node) &&
         IntAttribute(node, "is_causal") == 0 && IntAttribute(node, "left_window_size") < 0 &&
         IntAttribute(node, "right_window_size") < 0;
}

bool IsFullAttention(const Graph& graph, const Node& node) {
  return node.op == "Attention" && HasFreeQueries(graph, node) && node.outputs.size() == 1 &&
         FloatAttribute(node, "softcap") == 0 && IntAttribute(node, "q_num_heads") > 0 &&
         IntAttribute(node, "q_num_heads") == IntAttribute(node, "kv_num_heads") && AreAlikeWide(graph, node);
}

float AttentionScale(const Graph& graph, const Node& node) {
  const float scale = FloatAttribute(node, "scale");
  const std::int64_t width = graph.value(node.inputs[0]).type.shape[2].size / IntAttribute(node, "q_num_heads");
  return scale != 0 ? scale : 1 / std::sqrt(static_cast<float>(width));
}

}  // namespace laconic::passes
