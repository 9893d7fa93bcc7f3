#include <algorithm>
#include <unordered_map>

#include "interpreter/interpreter.h"
#include "interpreter/op.h"

namespace laconic {
namespace interpreter {
namespace {

// What the op's schema says of inputs of these very shapes; it refuses those that do not fit.
std::vector<DType> CheckInputs(const Node& node, const std::vector<Tensor>& inputs,
                               std::span<const Tensor* const> present) {
  const OpSchema& schema = *FindOpSchema(node.op);
  std::vector<ValueType> types;
  std::vector<const ValueType*> pointers;
  for (const Tensor& input : inputs) {
    types.push_back({input.dtype(), {input.shape().begin(), input.shape().end()}});
  }
  for (std::size_t i = 0; i < types.size(); ++i) {
    pointers.push_back(present[i] == nullptr ? nullptr : &types[i]);
  }
  std::vector<DType> dtypes;
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    dtypes.push_back(schema.infer(pointers, node.attributes, static_cast<int>(i)).dtype);
  }
  return dtypes;
}

}  // namespace

const OpEntry& FindEntry(std::string_view op) {
  static const std::unordered_map<std::string_view, OpEntry> entries = [] {
    std::unordered_map<std::string_view, OpEntry> map;
    for (const auto ops : {AttentionOps(), CastOps(), ElementwiseOps(), IndexOps(), LogicOps(), MatrixOps(),
                           NormalizeOps(), QuantizeOps(), ReduceOps(), ShapeOps(), SortOps()}) {
      for (const OpEntry& entry : ops) {
        map.emplace(entry.op, entry);
      }
    }
    return map;
  }();
  const auto found = entries.find(op);
  if (found == entries.end()) {
    Fail(ErrorCode::kUnsupported, "operator '", op, "' is not implemented");
  }
  return found->second;
}

}  // namespace interpreter

std::vector<Tensor> Evaluate(const Node& node, std::span<const Tensor* const> inputs,
                             const InterpreterOptions& options) {
  using namespace interpreter;  // NOLINT(google-build-using-namespace): the one way in
  const OpEntry& entry = FindEntry(node.op);
  std::vector<Tensor> held;
  std::ranges::transform(inputs, std::back_inserter(held),
                         [](const Tensor* tensor) { return tensor == nullptr ? Tensor() : tensor->Contiguous(); });
  const std::vector<DType> dtypes = CheckInputs(node, held, inputs);
  std::vector<const Tensor*> pointers;
  for (std::size_t i = 0; i < held.size(); ++i) {
    if (entry.half_as_f32 && IsHalf(held[i].dtype())) {
      held[i] = held[i].ToF32();
    }
    pointers.push_back(inputs[i] == nullptr ? nullptr : &held[i]);
  }
  const OpCall call(node, pointers, options.max_value_bytes);
  std::vector<Tensor> results = entry.run(call);
  results.resize(std::min(results.size(), node.outputs.size()));  // some compute outputs that the node leaves out
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (node.outputs[i] == kNoValue) {
      results[i] = Tensor();
    } else if (IsHalf(dtypes[i])) {
      results[i] = Convert(call, results[i], dtypes[i]);
    } else if (results[i].dtype() != dtypes[i]) {
      Fail(ErrorCode::kInternal, node.op, ": expected ", ToString(dtypes[i]), ", got ", ToString(results[i].dtype()));
    }
  }
  return results;
}

}  // namespace laconic
