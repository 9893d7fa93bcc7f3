// What the rewrites look for nodes with.
#pragma once

#include <cmath>
#include <optional>
#include <string_view>
#include <vector>

#include "passes/fusion/draft.h"

namespace laconic::passes::fusion {

// Constants of formulas (sqrt 2, 0.044715, epsilons) come rounded in many ways.
inline bool IsNear(double value, double wanted) { return std::abs(value - wanted) <= 1e-4 * std::abs(wanted); }

// Whether both surely have the same shape.
inline bool HaveSameShape(const Draft& draft, ValueId a, ValueId b) {
  const Facts& first = draft.facts(a);
  const Facts& second = draft.facts(b);
  return first.has_shape && second.has_shape && SameSizes(first.shape, second.shape);
}

struct Scaled {
  ValueId x = kNoValue;
  double factor = 1;
};

// `value` as x * c or x / c with one number c; null for anything else.
inline std::optional<Scaled> MatchScaled(const Draft& draft, ValueId value) {
  const Node* node = draft.Producer(value);
  if (node == nullptr || (node->op != "Mul" && node->op != "Div")) return std::nullopt;
  const auto fits = [&](ValueId x, ValueId scalar) {
    return draft.facts(scalar).shape.empty() || HaveSameShape(draft, x, value);
  };
  const auto right = draft.Scalar(node->inputs[1]);
  if (right && *right != 0 && fits(node->inputs[0], node->inputs[1])) {
    return Scaled{node->inputs[0], node->op == "Mul" ? *right : 1 / *right};
  }
  const auto left = draft.Scalar(node->inputs[0]);
  if (left && node->op == "Mul" && fits(node->inputs[1], node->inputs[0])) {
    return Scaled{node->inputs[1], *left};
  }
  return std::nullopt;
}

// How many nodes a pattern follows one after the other where a file may have any number: a bound for hostile chains.
inline constexpr int kMaxChain = 16;

// The other input of a node with two, where `one` is among them; kNoValue otherwise.
inline ValueId OtherInput(const Node& node, ValueId one) {
  if (node.inputs.size() != 2) return kNoValue;
  return node.inputs[0] == one ? node.inputs[1] : node.inputs[1] == one ? node.inputs[0] : kNoValue;
}

// Whether `axis` is the last of `value`'s axes.
inline bool IsLastAxis(const Draft& draft, ValueId value, std::int64_t axis) {
  const Facts& facts = draft.facts(value);
  return axis == -1 || (facts.has_shape && axis == static_cast<std::int64_t>(facts.shape.size()) - 1);
}

// Ops that only say a shape anew.
inline bool IsReshape(const Node& node) {
  return node.op == "Reshape" || node.op == "Squeeze" || node.op == "Unsqueeze" || node.op == "Flatten";
}

// The target of a Reshape that will give `value`.
inline ValueId AddShape(Draft* draft, ValueId value, const std::vector<std::int64_t>& target) {
  return draft->AddConstant(draft->name(value) + "_shape",
                            Tensor::FromValues<std::int64_t>({static_cast<std::int64_t>(target.size())}, target));
}

// A constant f32 matrix as a file stores it: itself, or behind Cast or DequantizeLinear.
inline bool IsStoredMatrix(const Draft& draft, ValueId value) {
  if (draft.facts(value).dtype != DType::kF32 || !draft.facts(value).has_rank(2)) return false;
  const Node* node = draft.Producer(value);
  const bool is_stored = node != nullptr && (node->op == "Cast" || node->op == "DequantizeLinear");
  return draft.Constant(is_stored ? node->inputs[0] : value) != nullptr;
}

// The initializer that holds a stored matrix's elements.
inline ValueId StoredIn(const Draft& draft, ValueId matrix) {
  const Node* node = draft.Producer(matrix);
  return node == nullptr ? matrix : node->inputs[0];
}

// A constant f32 row of `width` numbers, perhaps with axes of size 1 before.
inline bool IsRow(const Draft& draft, ValueId value, const Size& width) {
  const Tensor* tensor = draft.Constant(value);
  return tensor != nullptr && tensor->dtype() == DType::kF32 && !tensor->shape().empty() &&
         width.Is(tensor->shape().back()) && tensor->num_elements() == tensor->shape().back();
}

// The row [width] that IsRow found: itself, or a new constant without the axes of size 1.
inline ValueId AsRow(Draft* draft, ValueId value) {
  const Tensor* tensor = draft->Constant(value);
  return tensor->shape().size() == 1
             ? value
             : draft->AddConstant(draft->name(value), tensor->Contiguous().Reshaped({tensor->num_elements()}));
}

}  // namespace laconic::passes::fusion
