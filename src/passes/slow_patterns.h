// What a graph has that others run slower than they could: each a rule with a reason that was measured.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace laconic::passes {

struct SlowNodes {
  std::string rule;
  std::string first;  // node
  std::int64_t count = 0;
  std::string reason;
};

// The rules that some node of the graph breaks:
//   u8-weights        a linear layer with weights in u8
//   s8-dynamic        a product of s8 and s8 that is not static
//   per-token         activations quantized token by token
//   int8-attention    attention on 8-bit codes
//   half-weights      weights in f16 or bf16
std::vector<SlowNodes> FindSlowNodes(const Graph& graph);

}  // namespace laconic::passes
