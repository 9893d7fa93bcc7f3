// MatMul and Gemm with a stored matrix, and the Add of a bias after them -> laconic.Linear(x [..., K], w [K, N], b
// [N]).
#include <string>

#include "passes/fusion/match.h"
#include "passes/fusion/passes.h"

namespace laconic::passes::fusion {
namespace {

// Exporters that turn a weight around lose its name ("onnx::MatMul_320"); the bias still tells it.
void NameAfterBias(Draft* draft, ValueId weight, ValueId bias) {
  constexpr std::string_view kBias = ".bias";
  const ValueId stored = StoredIn(*draft, weight);
  const std::string& name = draft->name(bias);
  if (stored == weight && name.ends_with(kBias) && draft->name(weight).find(".weight") == std::string::npos) {
    draft->Rename(weight, name.substr(0, name.size() - kBias.size()) + ".weight");
  }
}

// The weight [K, N] as x * w wants it, where Gemm may have it the other way round.
ValueId Turned(Draft* draft, ValueId weight) {
  // JoinTranspose (simplify.cpp) makes a view of it.
  return draft->AddNode("Transpose", draft->name(weight), {weight}, {{"perm", std::vector<std::int64_t>{1, 0}}});
}

bool FuseMatMul(Draft* draft, const Node& node) {
  const Facts& x = draft->facts(node.inputs[0]);
  const bool fits = IsStoredMatrix(*draft, node.inputs[1]) && x.has_shape && x.shape.size() >= 2;
  if (fits) draft->Rewrite(node.outputs[0], "laconic.Linear", {node.inputs[0], node.inputs[1]});
  return fits;
}

bool FuseGemm(Draft* draft, const Node& node) {
  const ValueId value = node.outputs[0];
  const bool has_bias = node.inputs.size() > 2 && node.inputs[2] != kNoValue;
  const Facts& facts = draft->facts(value);
  const bool turned = IntAttribute(node, "transB") != 0;
  if (!IsStoredMatrix(*draft, node.inputs[1]) || IntAttribute(node, "transA") != 0 ||
      FloatAttribute(node, "alpha") != 1 ||
      (has_bias &&
       (FloatAttribute(node, "beta") != 1 || !facts.has_rank(2) || !IsRow(*draft, node.inputs[2], facts.shape[1])))) {
    return false;
  }
  if (turned && draft->Producer(node.inputs[1], "Transpose") != nullptr) return false;
  std::vector<ValueId> inputs = {node.inputs[0], turned ? Turned(draft, node.inputs[1]) : node.inputs[1]};
  if (has_bias) inputs.push_back(AsRow(draft, node.inputs[2]));
  draft->Rewrite(value, "laconic.Linear", std::move(inputs));
  return true;
}

bool FuseBias(Draft* draft, const Node& node) {
  const ValueId value = node.outputs[0];
  const Facts& facts = draft->facts(value);
  for (const std::size_t side : {0U, 1U}) {
    const Node* linear = draft->Producer(node.inputs[side], "laconic.Linear");
    const ValueId bias = node.inputs[1 - side];
    if (linear == nullptr || linear->inputs.size() > 2 || !HaveSameShape(*draft, node.inputs[side], value) ||
        facts.shape.empty() || !IsRow(*draft, bias, facts.shape.back())) {
      continue;
    }
    const ValueId row = AsRow(draft, bias);
    NameAfterBias(draft, linear->inputs[1], bias);
    draft->Rewrite(value, "laconic.Linear", {linear->inputs[0], linear->inputs[1], row});
    return true;
  }
  return false;
}

// How surely a value is a layer's output rather than what goes around it: the projection after attention also where
// the residual comes out of a Linear, as ALBERT's first does.
int LayerRank(const Draft& draft, ValueId value) {
  const Node* linear = draft.Producer(value, "laconic.Linear");
  return linear == nullptr ? 0 : draft.Producer(linear->inputs[0], "Attention") == nullptr ? 1 : 2;
}

// A residual stands second: a + b is b + a, exactly, and one model has one graph.
bool OrderResidual(Draft* draft, const Node& node) {
  const bool is_second = LayerRank(*draft, node.inputs[0]) < LayerRank(*draft, node.inputs[1]) &&
                         HaveSameShape(*draft, node.inputs[0], node.inputs[1]);
  if (is_second) draft->Rewrite(node.outputs[0], "Add", {node.inputs[1], node.inputs[0]});
  return is_second;
}

}  // namespace

bool FuseLinear(Draft* draft) {
  bool changed = false;
  for (NodeId id = 0; id < draft->num_nodes(); ++id) {  // with the nodes made on the way: their biases
    const Node* node = draft->FindNode(id);
    if (node == nullptr || draft->facts(node->outputs[0]).dtype != DType::kF32) continue;
    changed = (node->op == "MatMul" && FuseMatMul(draft, *node)) || (node->op == "Gemm" && FuseGemm(draft, *node)) ||
              (node->op == "Add" && (FuseBias(draft, *node) || OrderResidual(draft, *node))) || changed;
  }
  return changed;
}

}  // namespace laconic::passes::fusion
