// Files that compute on [batch * sequence, width] (TensorFlow's, PyTorch's addmm): the Reshape moves behind what works
// row by row, until it meets the one that undoes it.
#include <algorithm>

#include "passes/fusion/match.h"
#include "passes/fusion/passes.h"

namespace laconic::passes::fusion {
namespace {

// The x [a, b, width] of which `value` is [a * b, width]; kNoValue for anything else.
ValueId MatchFlattened(const Draft& draft, ValueId value) {
  const Node* node = draft.Producer(value);
  if (node == nullptr || !IsReshape(*node) || !draft.facts(value).has_rank(2)) return kNoValue;
  const ValueId x = node->inputs[0];
  if (!draft.facts(x).has_rank(3)) return kNoValue;
  const Sizes& from = draft.facts(x).shape;
  const Sizes& to = draft.facts(value).shape;
  // [batch, 1, width] is a text's row on its way out, not a flattened sequence.
  return SameSize(from[2], to[1]) && SameSize(from[0] * from[1], to[0]) && !from[1].Is(1) ? x : kNoValue;
}

bool IsRowWise(const Draft& draft, const Node& node) {
  if (node.op == "LayerNormalization") return IsLastAxis(draft, node.inputs[0], IntAttribute(node, "axis"));
  constexpr std::array<std::string_view, 6> kOps = {"laconic.Linear", "Gelu", "Relu", "Tanh", "Erf", "Identity"};
  return std::ranges::find(kOps, node.op) != kOps.end();
}

bool Sink(Draft* draft, const Node& node) {
  const ValueId value = node.outputs[0];
  std::vector<ValueId> inputs = node.inputs;
  const std::size_t num_rows = node.op == "Add" ? 2 : 1;
  for (std::size_t i = 0; i < num_rows; ++i) {
    inputs[i] = MatchFlattened(*draft, inputs[i]);
    if (inputs[i] == kNoValue || !HaveSameShape(*draft, inputs[0], inputs[i])) return false;
  }
  const Sizes& to = draft->facts(value).shape;
  if (!draft->facts(value).has_rank(2) || !to[1].number()) return false;
  const std::vector<std::int64_t> target = {-1, *to[1].number()};
  const ValueId shape = AddShape(draft, value, target);
  Attributes attributes = node.attributes;
  if (node.op == "LayerNormalization") attributes["axis"] = std::int64_t{-1};  // 1 would be the tokens now
  const ValueId deep = draft->AddNode(node.op, draft->name(value), std::move(inputs), std::move(attributes));
  draft->Rewrite(value, "Reshape", {deep, shape});
  return true;
}

}  // namespace

bool SinkReshape(Draft* draft) {
  return RewriteEach(draft, [&](const Node& node) {
    const bool can_sink = node.outputs.size() == 1 && draft->facts(node.outputs[0]).dtype == DType::kF32 &&
                          (node.op == "Add" || IsRowWise(*draft, node));
    return can_sink && Sink(draft, node);
  });
}

}  // namespace laconic::passes::fusion
