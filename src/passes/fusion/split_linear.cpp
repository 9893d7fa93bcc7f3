// Packed Q, K, V: one laconic.Linear whose columns Split or Slice takes apart -> one Linear for each part, whose weight
// is a view of the packed one's columns. (The planner packs them together again, in its own order.)
#include <algorithm>

#include "passes/fusion/match.h"
#include "passes/fusion/passes.h"

namespace laconic::passes::fusion {
namespace {

Tensor Columns(const Tensor& matrix, std::int64_t begin, std::int64_t end) {
  return matrix.Transposed().Slice(begin, end).Transposed();
}

class Splitter {
 public:
  Splitter(Draft* draft, const Node& linear, ValueId packed)
      : draft_(*draft), linear_(linear), width_(draft->facts(packed).shape.back().number().value_or(0)) {}

  // Whether columns can be taken from the weight, however it is stored, and from the bias.
  bool CanSplit() const {
    const ValueId weight = linear_.inputs[1];
    const Node* stored = draft_.Producer(weight);
    const bool has_bias = linear_.inputs.size() > 2;
    return width_ > 0 && IsStoredMatrix(draft_, weight) && (!has_bias || IsRow(draft_, linear_.inputs[2], width_)) &&
           (stored == nullptr || std::ranges::all_of(stored->inputs, [&](ValueId input) {
              return input == stored->inputs[0] || input == kNoValue || PartOf(input, 0, 1) != std::nullopt;
            }));
  }

  bool Fits(std::int64_t begin, std::int64_t end) const { return begin >= 0 && begin < end && end <= width_; }

  // In place of `value`, which holds the columns from `begin` to `end`.
  void Take(ValueId value, std::int64_t begin, std::int64_t end) {
    const std::string suffix = "_" + std::to_string(begin / std::max<std::int64_t>(end - begin, 1));
    std::vector<ValueId> inputs = {linear_.inputs[0], Weight(begin, end, suffix)};
    if (linear_.inputs.size() > 2) {
      const ValueId bias = linear_.inputs[2];
      inputs.push_back(draft_.AddConstant(Name(bias, suffix), draft_.Constant(bias)->Slice(begin, end)));
    }
    draft_.Rewrite(value, "laconic.Linear", std::move(inputs));
  }

 private:
  // "qkv.weight" -> "qkv_0.weight", so that layers keep names of their own.
  std::string Name(ValueId value, const std::string& suffix) const {
    const std::string& name = draft_.name(value);
    const std::size_t dot = name.rfind('.');
    return dot == std::string::npos ? name + suffix : name.substr(0, dot) + suffix + name.substr(dot);
  }

  // Scales and zero points: one for all columns, or one a column.
  std::optional<Tensor> PartOf(ValueId value, std::int64_t begin, std::int64_t end) const {
    const Tensor* tensor = draft_.Constant(value);
    if (tensor == nullptr || tensor->shape().size() > 1) return std::nullopt;
    return tensor->num_elements() == width_ && tensor->shape().size() == 1 ? tensor->Slice(begin, end) : *tensor;
  }

  ValueId Weight(std::int64_t begin, std::int64_t end, const std::string& suffix) {
    const ValueId weight = linear_.inputs[1];
    const ValueId stored = StoredIn(draft_, weight);
    const ValueId part = draft_.AddConstant(Name(stored, suffix), Columns(*draft_.Constant(stored), begin, end));
    if (stored == weight) return part;
    const Node node = *draft_.Producer(weight);
    std::vector<ValueId> inputs = {part};
    for (std::size_t i = 1; i < node.inputs.size(); ++i) {
      inputs.push_back(node.inputs[i] == kNoValue
                           ? kNoValue
                           : draft_.AddConstant(Name(node.inputs[i], suffix), *PartOf(node.inputs[i], begin, end)));
    }
    return draft_.AddNode(node.op, Name(weight, suffix), std::move(inputs), node.attributes);
  }

  Draft& draft_;
  const Node linear_;
  std::int64_t width_;
};

bool ApplySplit(Draft* draft, const Node& node, Splitter* splitter) {
  std::vector<std::int64_t> bounds = {0};
  for (const ValueId output : node.outputs) {
    const auto width = output == kNoValue ? std::nullopt : draft->facts(output).shape.back().number();
    if (!width || !splitter->Fits(bounds.back(), bounds.back() + *width)) return false;
    bounds.push_back(bounds.back() + *width);
  }
  const std::vector<ValueId> outputs = node.outputs;  // the node goes with its last use
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    splitter->Take(outputs[i], bounds[i], bounds[i + 1]);
  }
  return true;
}

bool ApplySlice(Draft* draft, const Node& node, Splitter* splitter) {
  const auto begin = draft->Integers(node.inputs[1]);
  const auto width = draft->facts(node.outputs[0]).shape.back().number();
  if (!begin || begin->size() != 1 || !width) return false;
  const std::int64_t packed = draft->facts(node.inputs[0]).shape.back().number().value_or(0);
  const std::int64_t from = (*begin)[0] < 0 ? (*begin)[0] + packed : (*begin)[0];
  if (!splitter->Fits(from, from + *width)) return false;
  splitter->Take(node.outputs[0], from, from + *width);
  return true;
}

// Whether `node` takes neighbouring columns of its input.
bool TakesColumns(const Draft& draft, const Node& node) {
  const ValueId packed = node.inputs[0];
  if (!draft.facts(packed).has_shape || !draft.facts(node.outputs[0]).has_shape) return false;
  if (node.op == "Split") return IsLastAxis(draft, packed, IntAttribute(node, "axis"));
  if (node.op != "Slice" || node.inputs.size() < 4) return false;
  const auto axes = draft.Integers(node.inputs[3]);
  const auto steps = node.inputs.size() > 4 ? draft.Integers(node.inputs[4]) : std::vector<std::int64_t>{1};
  return axes && axes->size() == 1 && IsLastAxis(draft, packed, (*axes)[0]) && steps &&
         *steps == std::vector<std::int64_t>{1};
}

}  // namespace

bool SplitLinear(Draft* draft) {
  return RewriteEach(draft, [&](const Node& node) {
    if (node.op != "Split" && node.op != "Slice") return false;
    const Node* linear = draft->Producer(node.inputs[0], "laconic.Linear");
    if (linear == nullptr || !TakesColumns(*draft, node)) return false;
    Splitter splitter(draft, *linear, node.inputs[0]);
    if (!splitter.CanSplit()) return false;
    return node.op == "Split" ? ApplySplit(draft, node, &splitter) : ApplySlice(draft, node, &splitter);
  });
}

}  // namespace laconic::passes::fusion
