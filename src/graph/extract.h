// The part of a graph that one value needs.
#pragma once

#include "graph/graph.h"

namespace laconic {

// All inputs, the nodes that `output` of `graph` depends on, and `output` as the only output.
Graph Extract(const Graph& graph, ValueId output);

}  // namespace laconic
