// The graph as text, for people and for tests: one line a value, in order.
//
//   input input_ids: s64[batch, sequence]
//   const classifier.weight: f32[384, 2] #9f86d081884c7d65
//   classifier = laconic.Linear(pooler, classifier.weight, classifier.bias): f32[batch, 2]
//   normed = LayerNormalization(sum, gamma, beta) {epsilon = 1e-12}: f32[batch, sequence, 384]
//   output classifier
//
// The number after '#' is a digest of the elements. Names that hold spaces or punctuation of the form are quoted.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "graph/graph.h"

namespace laconic {

std::string PrintGraph(const Graph& graph);

// A 64-bit digest of dtype, shape and elements in row-major order, as printed after '#'.
std::string TensorDigest(const Tensor& tensor);

// Gives the data of a constant that the text only names.
using FindTensorFn = std::function<Tensor(std::string_view name, DType dtype, const Shape& shape)>;

// PrintGraph(ParseGraph(text)) == text for any text that PrintGraph wrote. Digests and types are checked.
// Errors: kInvalidFile with the line.
Graph ParseGraph(std::string_view text, const FindTensorFn& find_tensor);

}  // namespace laconic
