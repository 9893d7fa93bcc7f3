#include "graph/extract.h"

#include <vector>

namespace laconic {

Graph Extract(const Graph& graph, ValueId output) {
  std::vector<bool> needed(graph.values().size());
  needed[static_cast<std::size_t>(output)] = true;
  for (auto node = graph.nodes().rbegin(); node != graph.nodes().rend(); ++node) {
    if (!needed[static_cast<std::size_t>(node->outputs[0])]) {
      continue;
    }
    for (const ValueId input : node->inputs) {
      if (input != kNoValue) {
        needed[static_cast<std::size_t>(input)] = true;
      }
    }
  }
  Graph part;
  GraphCopier copy(graph, &part);
  for (const Node& node : graph.nodes()) {
    if (needed[static_cast<std::size_t>(node.outputs[0])]) {
      copy.CopyNode(node);
    }
  }
  part.AddOutput(copy(output));
  return part;
}

}  // namespace laconic
