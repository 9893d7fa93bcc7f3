// Runs a graph plainly: each op of ops.h, one after the other, on tensors of known shape. It is the reference that
// faster ways are compared with, it folds constants, and it runs what the planner of the runtime cannot. A
// laconic.Linear whose inputs are behind quantization computes with the integers (docs/numerics.md), as the runtime
// does.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <vector>

#include "graph/graph.h"
#include "tensor/tensor.h"

namespace laconic {

struct InterpreterOptions {
  // A value of more bytes is refused before it is allocated.
  std::int64_t max_value_bytes = std::numeric_limits<std::int64_t>::max();
};

// The outputs of one node, in the order of node.outputs; those that are absent there are empty tensors.
// `inputs` in the order of node.inputs, null where absent. The result may share memory with an input.
// Errors: kInvalidFile for inputs that the op refuses, expected and got; kUnsupported for an element type;
// kInvalidArgument for a value it refuses (an index out of range, an integer divided by zero); kResource over the
// limit.
std::vector<Tensor> Evaluate(const Node& node, std::span<const Tensor* const> inputs,
                             const InterpreterOptions& options = {});

// Computes `wanted`, and of the graph only what they need; each value is freed after its last use. `inputs` holds a
// tensor for each of the graph's inputs that is needed; entries for other values stand in for what would be computed.
// Errors: kInvalidArgument for an input that is missing or has another type than the graph says; those of Evaluate,
// with the node's name; kCancelled.
std::vector<Tensor> Interpret(const Graph& graph, const std::map<ValueId, Tensor>& inputs,
                              std::span<const ValueId> wanted, const InterpreterOptions& options = {});

// All outputs of the graph, in order.
std::vector<Tensor> Interpret(const Graph& graph, const std::map<ValueId, Tensor>& inputs,
                              const InterpreterOptions& options = {});

}  // namespace laconic
