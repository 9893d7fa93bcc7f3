// What all methods of quantization share: which layers they take, and the model that they make.
#pragma once

#include <set>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "graph/graph.h"
#include "laconic/model.h"
#include "laconic/quantize.h"

namespace laconic {

// The layers that `options` select. Errors: kInvalidArgument for a model that is already compressed, kinds and patterns
// that are unknown, match nothing, or select nothing.
std::set<std::string> SelectedLayers(const Model& model, const QuantizeOptions& options);

// `model` with `graph` in place of its own. `recipe`: the settings that made it, as laconic.json keeps them.
Model QuantizedModel(const Model& model, const std::string& method, const nlohmann::json& recipe, Graph graph);

}  // namespace laconic
