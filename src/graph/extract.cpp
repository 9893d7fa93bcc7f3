#include "graph/extract.h"

#include <algorithm>
#include <vector>

namespace laconic {

Graph Extract(const Graph& graph, ValueId output) {
  std::vector<bool> needed(graph.values().size());
  needed[static_cast<std::size_t>(output)] = true;
  const auto is_needed = [&](const Node& node) {
    return std::ranges::any_of(node.outputs,
                               [&](ValueId id) { return id != kNoValue && needed[static_cast<std::size_t>(id)]; });
  };
  for (auto node = graph.nodes().rbegin(); node != graph.nodes().rend(); ++node) {
    if (!is_needed(*node)) {
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
    if (is_needed(node)) {
      copy.CopyNode(node);
    }
  }
  part.AddOutput(copy(output));
  return part;
}

}  // namespace laconic
