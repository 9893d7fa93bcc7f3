// A graph of general ops, as any exporter writes it -> the canonical graph, as src/models builds it.
#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"

namespace laconic::passes {

// Whether every op is one that our own files and models consist of, so that there is nothing to fuse.
bool IsCanonical(const Graph& graph);

struct FusionResult {
  Graph graph;
  std::vector<std::string> general;  // what stayed general, for people: a line for each kind of node, with the reason
};

// Runs all passes until none changes anything. What no pass recognises stays as it is and computes the same; a value
// keeps its name where it still exists, outputs and inputs always. Sizes of the inputs are called "batch" and
// "sequence". Errors: none for a graph that could be built: a graph that fusion cannot take comes back as it came.
FusionResult Fuse(const Graph& graph);

}  // namespace laconic::passes
