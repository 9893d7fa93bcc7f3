// Removes what does nothing, joins what could be one node, and says targets of reshapes as constants.
#include <algorithm>
#include <numeric>
#include <unordered_map>

#include "passes/fusion/match.h"
#include "passes/fusion/passes.h"

namespace laconic::passes::fusion {
namespace {

using Integers = std::vector<std::int64_t>;

// Each rule returns what to read in place of `value`, the first output of `node`; kNoValue to leave it.
using Rule = ValueId (*)(Draft* draft, const Node& node, ValueId value);

bool KeepsShape(const Draft& draft, const Node& node, ValueId value) {
  return HaveSameShape(draft, node.inputs[0], value);
}

ValueId DropIdentity(Draft* draft, const Node& node, ValueId value) {
  const ValueId x = node.inputs[0];
  if (draft->IsOutput(value) && (draft->Producer(x) == nullptr || draft->IsOutput(x))) {
    return kNoValue;  // an output needs a node of its own
  }
  if (const Tensor* constant = draft->Constant(x)) {  // torch.onnx says so that a layer has another's weights
    return draft->AddConstant(draft->name(value), *constant);
  }
  return x;
}

ValueId DropCast(Draft* draft, const Node& node, ValueId value) {
  return draft->facts(node.inputs[0]).dtype == draft->facts(value).dtype ? node.inputs[0] : kNoValue;
}

ValueId DropSameShape(Draft* draft, const Node& node, ValueId value) {
  return KeepsShape(*draft, node, value) ? node.inputs[0] : kNoValue;
}

ValueId DropWholeSlice(Draft* draft, const Node& node, ValueId value) {
  const bool has_steps = node.inputs.size() > 4 && node.inputs[4] != kNoValue;
  const std::optional<Integers> steps = has_steps ? draft->Integers(node.inputs[4]) : Integers();
  const bool forward = steps && std::ranges::all_of(*steps, [](std::int64_t step) { return step == 1; });
  return forward && KeepsShape(*draft, node, value) ? node.inputs[0] : kNoValue;
}

ValueId DropSingle(Draft*, const Node& node, ValueId) { return node.inputs.size() == 1 ? node.inputs[0] : kNoValue; }

ValueId DropFactorOne(Draft* draft, const Node&, ValueId value) {
  const auto scaled = MatchScaled(*draft, value);
  return scaled && scaled->factor == 1 && draft->facts(value).dtype == DType::kF32 ? scaled->x : kNoValue;
}

// The permutation that a Transpose does; empty if its rank is not known.
Integers PermOf(const Draft& draft, const Node& node) {
  const auto found = node.attributes.find("perm");
  if (found != node.attributes.end()) return std::get<Integers>(found->second);
  Integers perm(draft.facts(node.inputs[0]).shape.size());
  std::iota(perm.rbegin(), perm.rend(), 0);
  return perm;
}

// A stored matrix is turned where it lies: a view, and the scales' axis with it.
ValueId TransposeStored(Draft* draft, ValueId matrix) {
  const Node* node = draft->Producer(matrix);
  const ValueId stored = StoredIn(*draft, matrix);
  const ValueId turned = draft->AddConstant(draft->name(stored), draft->Constant(stored)->Transposed());
  if (node == nullptr) return turned;
  std::vector<ValueId> inputs = node->inputs;
  inputs[0] = turned;
  Attributes attributes = node->attributes;
  const bool has_axis = node->op == "DequantizeLinear" && draft->facts(node->inputs[1]).has_rank(1);
  if (has_axis) {
    const std::int64_t axis = IntAttribute(*node, "axis");
    attributes["axis"] = std::int64_t{1} - (axis < 0 ? axis + 2 : axis);
  }
  return draft->AddNode(node->op, draft->name(matrix), std::move(inputs), std::move(attributes));
}

bool IsBlockwise(const Draft& draft, ValueId matrix) {
  const Node* node = draft.Producer(matrix, "DequantizeLinear");
  return node != nullptr && draft.facts(node->inputs[1]).shape.size() > 1;
}

ValueId JoinTranspose(Draft* draft, const Node& node, ValueId value) {
  const ValueId x = node.inputs[0];
  const Integers perm = PermOf(*draft, node);
  if (perm.empty()) return kNoValue;
  if (std::ranges::is_sorted(perm)) return x;
  if (perm.size() == 2 && IsStoredMatrix(*draft, x) && !IsBlockwise(*draft, x)) return TransposeStored(draft, x);
  const Node* before = draft->Producer(x, "Transpose");
  if (before == nullptr) return kNoValue;
  const Integers first = PermOf(*draft, *before);
  if (first.size() != perm.size()) return kNoValue;
  Integers joined;
  for (const std::int64_t axis : perm) {
    joined.push_back(first[static_cast<std::size_t>(axis)]);
  }
  return draft->AddNode("Transpose", draft->name(value), {before->inputs[0]}, {{"perm", joined}});
}

// A constant target that gives `to` from `from`: numbers, 0 for what stays in place, one -1; null if more is open.
std::optional<Integers> TargetOf(const Sizes& from, const Sizes& to) {
  Integers target;
  for (std::size_t i = 0; i < to.size(); ++i) {
    const auto number = to[i].number();
    const bool stays = i < from.size() && SameSize(from[i], to[i]);
    if (number && *number <= 0) return std::nullopt;  // 0 would mean "stays"
    target.push_back(number ? *number : stays ? 0 : -1);
  }
  return std::ranges::count(target, -1) <= 1 ? std::optional(target) : std::nullopt;
}

// Softmax before opset 13 works on matrices: rows of the last axis, flattened and put back.
ValueId JoinSoftmax(Draft* draft, const Node& node, ValueId value) {
  const Node* softmax = draft->Producer(node.inputs[0], "Softmax");
  const Node* before = softmax == nullptr ? nullptr : draft->Producer(softmax->inputs[0]);
  if (before == nullptr || !IsReshape(*before) || !HaveSameShape(*draft, before->inputs[0], value)) return kNoValue;
  const Sizes& from = draft->facts(value).shape;
  const Facts& flat = draft->facts(node.inputs[0]);
  const bool is_last = IsLastAxis(*draft, node.inputs[0], IntAttribute(*softmax, "axis"));
  if (!is_last || from.empty() || !flat.has_shape || flat.shape.empty() || !SameSize(from.back(), flat.shape.back())) {
    return kNoValue;
  }
  return draft->AddNode("Softmax", draft->name(value), {before->inputs[0]});
}

// Any chain of reshapes as one Reshape with a constant target.
ValueId JoinReshape(Draft* draft, const Node& node, ValueId value) {
  if (KeepsShape(*draft, node, value)) return node.inputs[0];
  if (const ValueId softmax = JoinSoftmax(draft, node, value); softmax != kNoValue) return softmax;
  ValueId x = node.inputs[0];
  for (int i = 0; i < kMaxChain; ++i) {
    const Node* before = draft->Producer(x);
    if (before == nullptr || !IsReshape(*before)) break;
    x = before->inputs[0];
  }
  const bool is_final = x == node.inputs[0] && node.op == "Reshape" && draft->Constant(node.inputs[1]) != nullptr;
  const Facts& from = draft->facts(x);
  const Facts& to = draft->facts(value);
  if (is_final || !from.has_shape || !to.has_shape || !SameSizes(to.shape, to.shape)) return kNoValue;
  if (SameSizes(from.shape, to.shape)) return x;
  const std::optional<Integers> target = TargetOf(from.shape, to.shape);
  if (!target) return kNoValue;
  return draft->AddNode("Reshape", draft->name(value), {x, AddShape(draft, value, *target)});
}

// Indices are integers of any width.
ValueId DropIndexCast(Draft* draft, const Node& node, ValueId value) {
  const Node* cast = draft->Producer(node.inputs[1], "Cast");
  if (cast == nullptr) return kNoValue;
  const DType dtype = draft->facts(cast->inputs[0]).dtype;
  if (dtype != DType::kS64 && dtype != DType::kS32) return kNoValue;
  return draft->AddNode("Gather", draft->name(value), {node.inputs[0], cast->inputs[0]}, node.attributes);
}

const std::unordered_map<std::string_view, Rule>& Rules() {
  static const std::unordered_map<std::string_view, Rule> rules = {
      {"Cast", DropCast},           {"Concat", DropSingle},     {"Div", DropFactorOne},     {"Expand", DropSameShape},
      {"Flatten", JoinReshape},     {"Gather", DropIndexCast},  {"Identity", DropIdentity}, {"Max", DropSingle},
      {"Mean", DropSingle},         {"Min", DropSingle},        {"Mul", DropFactorOne},     {"Reshape", JoinReshape},
      {"Slice", DropWholeSlice},    {"Squeeze", JoinReshape},   {"Sum", DropSingle},        {"Tile", DropSameShape},
      {"Transpose", JoinTranspose}, {"Unsqueeze", JoinReshape},
  };
  return rules;
}

}  // namespace

bool Simplify(Draft* draft) {
  return RewriteEach(draft, [&](const Node& node) {
    const ValueId value = node.outputs[0];
    const auto rule = Rules().find(node.op);
    const ValueId replacement = rule == Rules().end() ? kNoValue : rule->second(draft, node, value);
    if (replacement != kNoValue) draft->Replace(value, replacement);
    return replacement != kNoValue;
  });
}

}  // namespace laconic::passes::fusion
