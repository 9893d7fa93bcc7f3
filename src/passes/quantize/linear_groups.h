// Linear layers that have to be rounded together.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace laconic::passes {

// Layers that read one input (Q, K, V) share its quantizer, and inputs that one weight is applied to (ALBERT's layers)
// share the weight's smoothing: a group is closed under both.
struct LinearGroup {
  std::vector<ValueId> inputs;
  std::vector<ValueId> weights;  // f32 [k, n_i]
  std::vector<std::string> layers;
  std::int64_t width = 0;  // k
};

// The groups of the linear layers among `layers`, in the graph's order.
std::vector<LinearGroup> GroupLinears(const Graph& graph, const std::set<std::string>& layers);

}  // namespace laconic::passes
