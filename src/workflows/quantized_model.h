// What all methods of quantization share: which layers they take, and the model that they make.
#pragma once

#include <set>
#include <span>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "graph/graph.h"
#include "laconic/model.h"
#include "laconic/quantize.h"
#include "laconic/tokenizer.h"

namespace laconic {

// The layers that `options` select. Errors: kInvalidArgument for a model that is already compressed, kinds and patterns
// that are unknown, match nothing, or select nothing.
std::set<std::string> SelectedLayers(const Model& model, const QuantizeOptions& options);
// Those of them that `qconfig` quantizes. Errors: also for an override that matches nothing or can do nothing.
std::set<std::string> SelectedLayers(const Model& model, const QuantizeOptions& options, const QConfig& qconfig);

// The QConfig that `options` ask for. Errors: as CheckQConfig; kInvalidArgument for a calibration table that method
// dynamic has no use for.
QConfig FindQConfig(const QuantizeOptions& options, bool has_texts);
// `qconfig` with 7 bits for the weights of `layers`, and of all where its `overflow` says so.
QConfig WithReducedRange(QConfig qconfig, const std::set<std::string>& layers);

// Whether `qconfig` smooths, feeds errors back or corrects biases: QuantizeGraph needs texts then.
bool RoundsByTexts(const QConfig& qconfig);

// The float `graph` in INT8. `table`: static ranges; null: dynamic. Errors: as RoundLinears and passes::QuantizeInt8.
Graph QuantizeGraph(const Graph& graph, const std::set<std::string>& layers, const QConfig& qconfig,
                    const CalibrationTable* table, std::span<const Encoding> texts, int num_threads,
                    const ProgressFn& progress);

// What laconic.json says of it.
nlohmann::json RecipeOf(const QuantizeOptions& options, const QConfig& qconfig, const std::set<std::string>& layers);

// `model` with `graph` in place of its own. `recipe`: the settings that made it, as laconic.json keeps them.
Model QuantizedModel(const Model& model, const std::string& method, const nlohmann::json& recipe, Graph graph);

}  // namespace laconic
