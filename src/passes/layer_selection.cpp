#include "passes/layer_selection.h"

#include <algorithm>
#include <array>
#include <unordered_set>

#include "base/shell_pattern.h"
#include "laconic/error.h"

namespace laconic::passes {
namespace {

// Token types: every token adds one of two rows, so what rounding does to that row shifts all tokens alike instead of
// averaging out. On SST-2's validation texts it was a quarter of all error of dynamic INT8, for no bytes worth having.
constexpr std::int64_t kFewRows = 4;

std::optional<Layer> FindAnyLayer(const Graph& graph, const Node& node) {
  const bool linear = node.op == "laconic.Linear";
  const bool embedding = node.op == "Gather" && IntAttribute(node, "axis") == 0;
  if (!linear && !embedding) {
    return std::nullopt;
  }
  const ValueId weight = node.inputs[linear ? 1 : 0];
  const Tensor* tensor = graph.FindInitializer(weight);
  if (tensor == nullptr || tensor->dtype() != DType::kF32 || tensor->shape().size() != 2) {
    return std::nullopt;
  }
  return Layer{linear ? LayerKind::kLinear : LayerKind::kEmbedding, LayerName(graph, weight), weight,
               linear || tensor->shape()[0] > kFewRows};
}

bool MatchesAny(const std::vector<std::string>& patterns, const std::string& name) {
  return std::ranges::any_of(patterns, [&](const std::string& pattern) { return MatchesPattern(pattern, name); });
}

void CheckPatterns(const std::vector<std::string>& patterns, const std::vector<Layer>& layers) {
  for (const std::string& pattern : patterns) {
    if (std::ranges::none_of(layers, [&](const Layer& layer) { return MatchesPattern(pattern, layer.name); })) {
      Fail(ErrorCode::kInvalidArgument, "no layer matches '", pattern, "'; the model has ", layers.size(),
           " layers, such as '", layers.empty() ? "" : layers.front().name, "' and '",
           layers.empty() ? "" : layers.back().name, "'");
    }
  }
}

}  // namespace

std::string_view ToString(LayerKind kind) noexcept { return kind == LayerKind::kLinear ? "linear" : "embedding"; }

LayerKind ParseLayerKind(std::string_view name) {
  for (const LayerKind kind : {LayerKind::kLinear, LayerKind::kEmbedding}) {
    if (name == ToString(kind)) {
      return kind;
    }
  }
  Fail(ErrorCode::kInvalidArgument, "unknown layer kind '", name, "'; known: linear, embedding");
}

std::string LayerName(const Graph& graph, ValueId weight) {
  constexpr std::string_view kSuffix = ".weight";
  std::string name = graph.value(weight).name;
  if (name.ends_with(kSuffix)) {
    name.resize(name.size() - kSuffix.size());
  }
  return name;
}

std::optional<Layer> FindLayer(const Graph& graph, const Node& node, const std::set<std::string>& names) {
  std::optional<Layer> layer = FindAnyLayer(graph, node);
  return layer && names.contains(layer->name) ? layer : std::nullopt;
}

std::vector<Layer> FindLayers(const Graph& graph) {
  std::vector<Layer> layers;
  std::unordered_set<ValueId> seen;
  for (const Node& node : graph.nodes()) {
    std::optional<Layer> layer = FindAnyLayer(graph, node);
    if (layer && seen.insert(layer->weight).second) {
      layers.push_back(std::move(*layer));
    }
  }
  return layers;
}

std::vector<std::string> SelectLayers(const Graph& graph, const LayerSelection& selection) {
  const std::vector<Layer> layers = FindLayers(graph);
  CheckPatterns(selection.include, layers);
  CheckPatterns(selection.exclude, layers);
  std::vector<std::string> selected;
  for (const Layer& layer : layers) {
    const bool kind = std::ranges::find(selection.kinds, layer.kind) != selection.kinds.end();
    const bool included = selection.include.empty() ? layer.is_default : MatchesAny(selection.include, layer.name);
    if (kind && included && !MatchesAny(selection.exclude, layer.name)) {
      selected.push_back(layer.name);
    }
  }
  return selected;
}

}  // namespace laconic::passes
