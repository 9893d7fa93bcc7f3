// (x - mean) / sqrt(variance + epsilon) * gamma + beta, as torch.onnx before opset 17, tf2onnx and ONNX Runtime write
// it, in any order of the operands:
//   d = x - mean(x);  v = mean(d * d) or mean(d ^ 2);  d / sqrt(v + e), or d * (1 / sqrt(v + e)), or … ^ -0.5
// and as TensorFlow's batch form: s = gamma / sqrt(v + e);  x * s + (beta - mean * s)
#include <algorithm>

#include "passes/fusion/match.h"
#include "passes/fusion/passes.h"

namespace laconic::passes::fusion {
namespace {

struct Normal {
  ValueId x = kNoValue;
  ValueId mean = kNoValue;
  double epsilon = 0;
};

// The x of mean(x) over the last axis, kept as an axis of size 1.
ValueId MatchMean(const Draft& draft, ValueId value) {
  const Node* node = draft.Producer(value, "ReduceMean");
  if (node == nullptr || node->inputs.size() != 2 || IntAttribute(*node, "keepdims") != 1) return kNoValue;
  const auto axes = draft.Integers(node->inputs[1]);
  return axes && axes->size() == 1 && IsLastAxis(draft, node->inputs[0], (*axes)[0]) ? node->inputs[0] : kNoValue;
}

ValueId MatchSquare(const Draft& draft, ValueId value) {
  const Node* node = draft.Producer(value);
  if (node == nullptr || node->inputs.size() != 2) return kNoValue;
  const bool is_square = (node->op == "Mul" && node->inputs[0] == node->inputs[1]) ||
                         (node->op == "Pow" && draft.Scalar(node->inputs[1]) == 2.0);
  return is_square ? node->inputs[0] : kNoValue;
}

// d = x - mean(x)
std::optional<Normal> MatchCentered(const Draft& draft, ValueId value) {
  const Node* node = draft.Producer(value, "Sub");
  if (node == nullptr || MatchMean(draft, node->inputs[1]) != node->inputs[0]) return std::nullopt;
  return Normal{node->inputs[0], node->inputs[1]};
}

// variance(x) + epsilon
std::optional<Normal> MatchVariance(const Draft& draft, ValueId value) {
  const Node* node = draft.Producer(value, "Add");
  if (node == nullptr) return std::nullopt;
  for (const std::size_t side : {0U, 1U}) {
    const auto epsilon = draft.Scalar(node->inputs[1 - side]);
    const ValueId mean = MatchMean(draft, node->inputs[side]);
    const ValueId centered = mean == kNoValue ? kNoValue : MatchSquare(draft, mean);
    auto normal = centered == kNoValue ? std::nullopt : MatchCentered(draft, centered);
    if (epsilon && *epsilon >= 0 && normal) {
      normal->epsilon = *epsilon;
      return normal;
    }
  }
  return std::nullopt;
}

std::optional<Normal> MatchRoot(const Draft& draft, ValueId value, double exponent) {
  const Node* node = draft.Producer(value);
  if (node == nullptr) return std::nullopt;
  if (node->op == "Pow" && draft.Scalar(node->inputs[1]) == exponent) return MatchVariance(draft, node->inputs[0]);
  if (exponent > 0) return node->op == "Sqrt" ? MatchVariance(draft, node->inputs[0]) : std::nullopt;
  if (node->op == "Reciprocal") return MatchRoot(draft, node->inputs[0], -exponent);
  const bool inverts = node->op == "Div" && draft.Scalar(node->inputs[0]) == 1.0;
  return inverts ? MatchRoot(draft, node->inputs[1], -exponent) : std::nullopt;
}

// d / sqrt(variance + epsilon)
std::optional<Normal> MatchNormal(const Draft& draft, ValueId value) {
  const Node* node = draft.Producer(value);
  if (node == nullptr || node->inputs.size() != 2) return std::nullopt;
  const auto check = [&](ValueId centered, ValueId root, double exponent) -> std::optional<Normal> {
    const auto from = MatchCentered(draft, centered);
    const auto normal = from ? MatchRoot(draft, root, exponent) : std::nullopt;
    return normal && normal->x == from->x ? normal : std::nullopt;
  };
  if (node->op == "Div") return check(node->inputs[0], node->inputs[1], 0.5);
  if (node->op != "Mul") return std::nullopt;
  auto normal = check(node->inputs[0], node->inputs[1], -0.5);
  return normal ? normal : check(node->inputs[1], node->inputs[0], -0.5);
}

struct Affine {
  Normal normal;
  ValueId gamma = kNoValue;
  ValueId beta = kNoValue;
};

// normal * gamma + beta
std::optional<Affine> MatchPlain(const Draft& draft, const Node& add, const Size& width) {
  for (const std::size_t side : {0U, 1U}) {
    const Node* product = draft.Producer(add.inputs[side], "Mul");
    if (product == nullptr || !IsRow(draft, add.inputs[1 - side], width)) continue;
    for (const std::size_t factor : {0U, 1U}) {
      if (!IsRow(draft, product->inputs[1 - factor], width)) continue;
      if (const auto normal = MatchNormal(draft, product->inputs[factor])) {
        return Affine{*normal, product->inputs[1 - factor], add.inputs[1 - side]};
      }
    }
  }
  return std::nullopt;
}

// x * s + (beta - mean * s), s = gamma / sqrt(variance + epsilon)
std::optional<Affine> MatchBatchForm(const Draft& draft, const Node& add, const Size& width) {
  for (const std::size_t side : {0U, 1U}) {
    const Node* product = draft.Producer(add.inputs[side], "Mul");
    const Node* shift = draft.Producer(add.inputs[1 - side], "Sub");
    if (product == nullptr || shift == nullptr || !IsRow(draft, shift->inputs[0], width)) continue;
    for (const std::size_t factor : {0U, 1U}) {
      const ValueId s = product->inputs[factor];
      const ValueId x = product->inputs[1 - factor];
      const Node* scale = draft.Producer(s, "Mul");
      const Node* moved = draft.Producer(shift->inputs[1], "Mul");
      if (scale == nullptr || moved == nullptr) continue;
      const std::size_t gamma = IsRow(draft, scale->inputs[0], width) ? 0 : 1;
      const auto normal = MatchRoot(draft, scale->inputs[1 - gamma], -0.5);
      if (normal && normal->x == x && OtherInput(*moved, s) == normal->mean &&
          IsRow(draft, scale->inputs[gamma], width)) {
        return Affine{*normal, scale->inputs[gamma], shift->inputs[0]};
      }
    }
  }
  return std::nullopt;
}

bool FuseOne(Draft* draft, const Node& node) {
  const Facts& facts = draft->facts(node.outputs[0]);
  if (node.op != "Add" || facts.shape.empty() || facts.dtype != DType::kF32) return false;
  const Size width = facts.shape.back();
  auto affine = MatchPlain(*draft, node, width);
  if (!affine) affine = MatchBatchForm(*draft, node, width);
  // A row with more axes than x gives the result more, too.
  if (!affine || !draft->facts(affine->normal.x).has_rank(facts.shape.size())) return false;
  draft->Rewrite(node.outputs[0], "LayerNormalization",
                 {affine->normal.x, AsRow(draft, affine->gamma), AsRow(draft, affine->beta)},
                 {{"epsilon", static_cast<float>(affine->normal.epsilon)}});
  return true;
}

}  // namespace

bool FuseLayerNormalization(Draft* draft) {
  return RewriteEach(draft, [&](const Node& node) { return FuseOne(draft, node); });
}

}  // namespace laconic::passes::fusion
