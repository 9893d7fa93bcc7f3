// What a graph's weights amount to.
#pragma once

#include <cstdint>

#include "graph/graph.h"

namespace laconic::hf {

struct WeightCount {
  std::int64_t elements = 0;
  std::int64_t bytes = 0;
};

// Over all initializers but s64 ones, which are indices and shapes.
inline WeightCount CountWeights(const Graph& graph) {
  WeightCount count;
  for (const auto& [id, tensor] : graph.initializers()) {
    if (tensor.dtype() != DType::kS64) {
      count.elements += tensor.num_elements();
      count.bytes += tensor.size_bytes();
    }
  }
  return count;
}

}  // namespace laconic::hf
