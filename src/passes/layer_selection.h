// Which layers a compression method touches.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"

namespace laconic::passes {

enum class LayerKind : std::uint8_t {
  kLinear,     // laconic.Linear with a constant weight
  kEmbedding,  // Gather of whole rows from a constant table
};

std::string_view ToString(LayerKind kind) noexcept;  // "linear", "embedding"
// Errors: kInvalidArgument listing the kinds.
LayerKind ParseLayerKind(std::string_view name);

// A node whose weight a method may replace.
struct Layer {
  LayerKind kind = LayerKind::kLinear;
  std::string name;           // the weight's name without ".weight", e.g. "bert.pooler.dense"
  ValueId weight = kNoValue;  // linear: [in, out]; embedding: [rows, width]
  // Taken where no pattern says so. Not embeddings of up to four rows (token types), which cost more accuracy than they
  // save bytes.
  bool is_default = true;
};

// What a layer with this weight is called.
std::string LayerName(const Graph& graph, ValueId weight);

// All layers of `graph`, a weight that several nodes share once.
std::vector<Layer> FindLayers(const Graph& graph);

// The layer that `node` is, if it is one of those called `names` and its weight is f32.
std::optional<Layer> FindLayer(const Graph& graph, const Node& node, const std::set<std::string>& names);

struct LayerSelection {
  std::vector<LayerKind> kinds = {LayerKind::kLinear, LayerKind::kEmbedding};
  // Shell patterns (`*` any text, `?` any character) that match a whole layer name. `include` empty: Layer::is_default.
  std::vector<std::string> include;
  std::vector<std::string> exclude;
};

// The names of the layers of `graph` that `selection` takes. Errors: kInvalidArgument for a pattern that no layer of
// the graph matches, naming some that there are: a typing error must not pass as "done".
std::vector<std::string> SelectLayers(const Graph& graph, const LayerSelection& selection);

}  // namespace laconic::passes
