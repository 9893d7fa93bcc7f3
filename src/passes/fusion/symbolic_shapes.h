// Shapes of general ops in terms of named sizes, and the integers that exporters compute them with: what torch.onnx
// writes as Shape, Gather, Mul, Concat is a list such as [batch, sequence, 12, 64] again.
//
// A named size is taken to be at least 1: a text has a token, a batch a text. Where a file cuts a table of fixed length
// to a named length, the result has that length: the file cannot run on more.
#pragma once

#include <vector>

#include "graph/graph.h"
#include "passes/fusion/size.h"

namespace laconic::passes::fusion {

// What is known of a value before the model runs.
struct Facts {
  DType dtype = DType::kF32;
  bool has_shape = false;
  Sizes shape = {};                    // empty without has_shape
  std::optional<Sizes> elements = {};  // of an integer or bool tensor of at most kMaxElements, in row-major order

  bool has_rank(std::size_t rank) const noexcept { return has_shape && shape.size() == rank; }
};
inline constexpr std::int64_t kMaxElements = 64;

Facts FactsOf(const Tensor& constant);

// Of output number `output` of `node`, from what is known of its inputs (null where one is absent). What is odd gives
// an unknown shape, never an error.
Facts InferFacts(const Node& node, int output, DType dtype, const std::vector<const Facts*>& inputs);

// The elements, if all are numbers.
std::optional<std::vector<std::int64_t>> Numbers(const Facts& facts);

}  // namespace laconic::passes::fusion
