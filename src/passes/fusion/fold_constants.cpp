// Replaces what depends on constants alone, and integers that shapes turned out to fix, by constants.
//
// Weights stay as they are stored: DequantizeLinear and Cast of a matrix are how the planner knows its form, and a
// copy in f32 would cost the memory that the file saves. So do matrices that a reshape or transpose only views.
#include <algorithm>

#include "interpreter/interpreter.h"
#include "laconic/error.h"
#include "passes/fusion/match.h"
#include "passes/fusion/passes.h"

namespace laconic::passes::fusion {
namespace {

// Of one folded value. More than any mask, position list or row of a model; less than a table of weights.
constexpr std::int64_t kMaxBytes = std::int64_t{1} << 20;
// Of all values that one pass computes: a file may add a row to itself a million times. A model's turned matrices under
// kMaxBytes take some tens of MB.
constexpr std::int64_t kMaxBytesTogether = std::int64_t{1} << 28;

bool IsStoredWeight(const Draft& draft, const Node& node) {
  return (node.op == "DequantizeLinear" || node.op == "Cast") && draft.facts(node.inputs[0]).shape.size() > 1;
}

bool DependsOnConstants(const Draft& draft, const Node& node) {
  return std::ranges::all_of(node.inputs,
                             [&](ValueId input) { return input == kNoValue || draft.Constant(input) != nullptr; });
}

std::optional<Tensor> FromElements(const Facts& facts) {
  const auto elements = Numbers(facts);
  if (!elements || !facts.has_shape) return std::nullopt;
  Shape shape;
  for (const Size& size : facts.shape) {
    if (!size.number()) return std::nullopt;
    shape.push_back(*size.number());
  }
  if (NumElements(shape) != static_cast<std::int64_t>(elements->size())) return std::nullopt;
  return Tensor::Make(facts.dtype, shape, [&](std::byte* data) {
    for (std::size_t i = 0; i < elements->size(); ++i) {
      if (facts.dtype == DType::kS64) {
        reinterpret_cast<std::int64_t*>(data)[i] = (*elements)[i];
      } else if (facts.dtype == DType::kS32) {
        reinterpret_cast<std::int32_t*>(data)[i] = static_cast<std::int32_t>((*elements)[i]);
      } else {
        reinterpret_cast<bool*>(data)[i] = (*elements)[i] != 0;
      }
    }
  });
}

// A view of the same elements, whatever their number.
std::optional<Tensor> FromReshape(const Draft& draft, const Node& node) {
  const Facts& facts = draft.facts(node.outputs[0]);
  const Tensor* from = IsReshape(node) ? draft.Constant(node.inputs[0]) : nullptr;
  if (from == nullptr || !from->is_contiguous() || !facts.has_shape) return std::nullopt;
  Shape shape;
  for (const Size& size : facts.shape) {
    if (size.number().value_or(-1) < 0) return std::nullopt;
    shape.push_back(*size.number());
  }
  return NumElements(shape) == from->num_elements() ? std::optional(from->Reshaped(shape)) : std::nullopt;
}

std::optional<Tensor> FromInterpreter(const Draft& draft, const Node& node) {
  std::vector<const Tensor*> inputs;
  for (const ValueId input : node.inputs) {
    inputs.push_back(draft.Constant(input));
  }
  try {
    return Evaluate(node, inputs, {.max_value_bytes = kMaxBytes})[0];
  } catch (const Error&) {
    return std::nullopt;  // it will fail, or be too large, where the model runs
  }
}

std::optional<Tensor> Fold(const Draft& draft, const Node& node, std::int64_t* computed_bytes) {
  if (auto tensor = FromElements(draft.facts(node.outputs[0]))) return tensor;
  if (!DependsOnConstants(draft, node) || IsStoredWeight(draft, node)) return std::nullopt;
  if (auto view = FromReshape(draft, node)) return view;
  if (*computed_bytes > kMaxBytesTogether) return std::nullopt;
  std::optional<Tensor> tensor = FromInterpreter(draft, node);
  *computed_bytes += tensor ? tensor->size_bytes() : 0;
  return tensor;
}

}  // namespace

bool FoldConstants(Draft* draft) {
  std::int64_t computed_bytes = 0;
  const bool changed = RewriteEach(draft, [&](const Node& node) {
    const ValueId value = node.outputs[0];
    if (node.outputs.size() != 1 || node.inputs.empty() || draft->IsOutput(value)) return false;
    std::optional<Tensor> tensor = Fold(*draft, node, &computed_bytes);
    if (tensor) draft->Replace(value, draft->AddConstant(draft->name(value), std::move(*tensor)));
    return tensor.has_value();
  });
  return changed && computed_bytes <= kMaxBytesTogether;  // what was left over is no reason for another round
}

}  // namespace laconic::passes::fusion
