// One row a text: the first token's, or the mean over the mask as sentence-transformers writes it.
#include <algorithm>

#include "graph/model_io.h"
#include "passes/fusion/match.h"
#include "passes/fusion/passes.h"
#include "passes/fusion/probe.h"

namespace laconic::passes::fusion {
namespace {

using Integers = std::vector<std::int64_t>;

// The x [batch, sequence, width] whose first token's row `value` is, with or without an axis of size 1 for it.
ValueId MatchFirstToken(const Draft& draft, ValueId value) {
  const Node* node = draft.Producer(value);
  if (node == nullptr || !draft.facts(node->inputs[0]).has_rank(3)) return kNoValue;
  if (node->op == "Gather") {
    const std::int64_t axis = IntAttribute(*node, "axis");
    return (axis == 1 || axis == -2) && draft.Integers(node->inputs[1]) == Integers{0} ? node->inputs[0] : kNoValue;
  }
  if (node->op != "Slice" || node->inputs.size() < 4) return kNoValue;
  const auto axes = draft.Integers(node->inputs[3]);
  const bool along_tokens = axes && axes->size() == 1 && ((*axes)[0] == 1 || (*axes)[0] == -2);
  const Facts& facts = draft.facts(value);
  const bool is_row = along_tokens && draft.Integers(node->inputs[1]) == Integers{0} && facts.has_rank(3) &&
                      facts.shape[1].Is(1) && !draft.facts(node->inputs[0]).shape[1].Is(1);
  return is_row ? node->inputs[0] : kNoValue;
}

bool IsCanonicalFirst(const Draft& draft, const Node& node) {
  const Tensor* index = node.op == "Gather" ? draft.Constant(node.inputs[1]) : nullptr;
  return index != nullptr && index->shape().empty() && index->dtype() == DType::kS64 && IntAttribute(node, "axis") == 1;
}

bool FuseFirstToken(Draft* draft, const Node& node) {
  const ValueId value = node.outputs[0];
  if (!draft->facts(value).has_rank(2) || IsCanonicalFirst(*draft, node)) return false;
  const ValueId row = IsReshape(node) ? node.inputs[0] : value;
  const ValueId x = MatchFirstToken(*draft, row);
  if (x == kNoValue || !SameSize(draft->facts(x).shape[0], draft->facts(value).shape[0]) ||
      !SameSize(draft->facts(x).shape[2], draft->facts(value).shape[1])) {
    return false;
  }
  const ValueId zero =
      draft->AddConstant(draft->name(value) + "_index", Tensor::FromValues<std::int64_t>({}, Integers{0}));
  draft->Rewrite(value, "Gather", {x, zero}, {{"axis", std::int64_t{1}}});
  return true;
}

// sum over tokens of x * mask, / number of tokens
bool FuseMeanPool(Draft* draft, Prober* prober, const Node& node) {
  const auto mask = draft->FindInput(kAttentionMask);
  const Node* sum = draft->Producer(node.inputs[0], "ReduceSum");
  if (!mask || sum == nullptr || sum->inputs.size() < 2 || draft->Integers(sum->inputs[1]) != Integers{1} ||
      IntAttribute(*sum, "keepdims") != 0) {
    return false;
  }
  const Node* product = draft->Producer(sum->inputs[0], "Mul");
  if (product == nullptr || !draft->facts(product->outputs[0]).has_rank(3)) return false;
  for (const std::size_t side : {0U, 1U}) {
    const ValueId x = product->inputs[side];
    if (!HaveSameShape(*draft, x, product->outputs[0]) || !prober->IsTokenMask(product->inputs[1 - side])) continue;
    if (!prober->IsTokenCount(node.inputs[1])) {
      draft->Note(node.outputs[0], "its divisor is not the number of tokens: " + prober->reason());
      return false;
    }
    draft->Rewrite(node.outputs[0], "laconic.MeanPool", {x, *mask});
    return true;
  }
  return false;
}

}  // namespace

bool FusePooling(Draft* draft) {
  Prober prober(*draft);
  return RewriteEach(draft, [&](const Node& node) {
    if (node.op == "Div") return FuseMeanPool(draft, &prober, node);
    return (node.op == "Gather" || IsReshape(node)) && FuseFirstToken(draft, node);
  });
}

}  // namespace laconic::passes::fusion
