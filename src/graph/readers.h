// Which nodes of a graph read each of its values.
#pragma once

#include <vector>

#include "graph/graph.h"

namespace laconic {

class Readers {
 public:
  // Points into `graph`, which must stay as it is.
  explicit Readers(const Graph& graph) : readers_(graph.values().size() + 1) {
    for (const Node& node : graph.nodes()) {
      for (const ValueId input : node.inputs) {
        if (input != kNoValue) {
          readers_[Index(input)].push_back(&node);
        }
      }
    }
  }

  // In the graph's order; a node that reads the value twice comes twice. Nobody reads kNoValue.
  const std::vector<const Node*>& operator[](ValueId value) const { return readers_[Index(value)]; }

 private:
  static std::size_t Index(ValueId value) { return static_cast<std::size_t>(value - kNoValue); }

  std::vector<std::vector<const Node*>> readers_;
};

}  // namespace laconic
