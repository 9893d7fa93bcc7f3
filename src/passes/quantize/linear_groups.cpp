#include "passes/quantize/linear_groups.h"

#include <algorithm>
#include <unordered_map>

#include "passes/layer_selection.h"

namespace laconic::passes {
namespace {

template <typename T>
void AddOnce(const T& value, std::vector<T>* values) {
  if (std::ranges::find(*values, value) == values->end()) {
    values->push_back(value);
  }
}

void Merge(const LinearGroup& from, LinearGroup* to) {
  for (const ValueId input : from.inputs) {
    AddOnce(input, &to->inputs);
  }
  for (const ValueId weight : from.weights) {
    AddOnce(weight, &to->weights);
  }
  for (const std::string& layer : from.layers) {
    AddOnce(layer, &to->layers);
  }
}

bool Touch(const LinearGroup& a, const LinearGroup& b) {
  return std::ranges::find_first_of(a.inputs, b.inputs) != a.inputs.end() ||
         std::ranges::find_first_of(a.weights, b.weights) != a.weights.end();
}

}  // namespace

std::vector<LinearGroup> GroupLinears(const Graph& graph, const std::set<std::string>& layers) {
  std::vector<LinearGroup> groups;
  for (const Node& node : graph.nodes()) {
    const auto layer = FindLayer(graph, node, layers);
    if (!layer || layer->kind != LayerKind::kLinear) {
      continue;
    }
    const std::int64_t width = graph.value(layer->weight).type.shape[0].size;
    const LinearGroup one{{node.inputs[0]}, {layer->weight}, {layer->name}, width};
    // It may join two groups, by its input and by its weight.
    LinearGroup* home = nullptr;
    for (LinearGroup& group : groups) {
      if (!Touch(group, one)) {
        continue;
      }
      if (home == nullptr) {
        home = &group;
      } else {
        Merge(group, home);
        group = {};
      }
    }
    if (home == nullptr) {
      groups.push_back(one);
    } else {
      Merge(one, home);
    }
    std::erase_if(groups, [](const LinearGroup& group) { return group.inputs.empty(); });
  }
  return groups;
}

}  // namespace laconic::passes
