#include "workflows/quantized_model.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "formats/hf/model_name.h"
#include "formats/hf/weights.h"
#include "laconic/error.h"
#include "passes/layer_selection.h"
#include "passes/quantize/int8.h"
#include "workflows/calibrated_rounding.h"
#include "workflows/calibration_table.h"

namespace laconic {
namespace {

// Refuses patterns that match nothing, and settings of linear layers for what are none.
void CheckOverride(const Graph& graph, const LayerOverride& layer, const LayerQConfig& base) {
  const std::vector<std::string> all = passes::SelectLayers(graph, {.include = layer.layers});
  LayerQConfig config = layer.config;
  config.quantize = base.quantize;
  const std::vector<std::string> linear = passes::SelectLayers(graph, {.kinds = {passes::LayerKind::kLinear}});
  const auto is_linear = [&](const std::string& name) { return std::ranges::find(linear, name) != linear.end(); };
  if (config != base && std::ranges::none_of(all, is_linear)) {
    Fail(ErrorCode::kInvalidArgument, "'", all[0],
         "' is an embedding, which has neither activations nor a choice of "
         "weights; expected linear layers, or quantize alone");
  }
}

}  // namespace

std::set<std::string> SelectedLayers(const Model& model, const QuantizeOptions& options) {
  if (model.info().method != "float") {
    Fail(ErrorCode::kInvalidArgument, NameOf(model), " is already compressed (", model.info().method,
         "); give the original");
  }
  passes::LayerSelection selection{.include = options.include, .exclude = options.exclude};
  if (!options.kinds.empty()) {
    selection.kinds.clear();
    std::ranges::transform(options.kinds, std::back_inserter(selection.kinds), passes::ParseLayerKind);
  }
  const std::vector<std::string> names = passes::SelectLayers(model.graph(), selection);
  if (names.empty()) {
    Fail(ErrorCode::kInvalidArgument, passes::SelectLayers(model.graph(), {}).empty()
                                          ? "the model has no layer that is not quantized already"
                                          : "the kinds and patterns given select no layer");
  }
  return {names.begin(), names.end()};
}

std::set<std::string> SelectedLayers(const Model& model, const QuantizeOptions& options, const QConfig& qconfig) {
  std::set<std::string> layers = SelectedLayers(model, options);
  for (const LayerOverride& layer : qconfig.overrides) {
    WithFrame([&] { return fmt::format("override of '{}'", fmt::join(layer.layers, "', '")); },
              [&] { CheckOverride(model.graph(), layer, qconfig.layers); });
  }
  std::erase_if(layers, [&](const std::string& layer) { return !qconfig.OfLayer(layer).quantize; });
  if (layers.empty()) {
    Fail(ErrorCode::kInvalidArgument, "the QConfig leaves every selected layer in float");
  }
  if (ObservedInputs(model.graph(), layers, qconfig).empty() && options.method == "static") {
    Fail(ErrorCode::kInvalidArgument,
         "no linear layer is selected, so there is nothing to be static; expected method "
         "dynamic");
  }
  return layers;
}

QConfig FindQConfig(const QuantizeOptions& options, bool has_texts) {
  const QConfigUse use = {.is_static = options.method == "static", .has_texts = has_texts};
  if (options.table && !use.is_static) {
    Fail(ErrorCode::kInvalidArgument,
         "a calibration table holds ranges for method static; dynamic finds them as the model runs");
  }
  QConfig qconfig = options.qconfig ? *options.qconfig : PresetQConfig("laconic", use);
  CheckQConfig(qconfig, use);
  return qconfig;
}

QConfig WithReducedRange(QConfig qconfig, const std::set<std::string>& layers) {
  if (qconfig.overflow == Overflow::kReduceRange) {
    qconfig.layers.weights.range = CodeRange::kReduced;
    for (LayerOverride& layer : qconfig.overrides) {
      layer.config.weights.range = CodeRange::kReduced;
    }
  }
  for (const std::string& layer : layers) {
    LayerQConfig config = qconfig.OfLayer(layer);
    config.weights.range = CodeRange::kReduced;
    qconfig.overrides.push_back({{layer}, config});
  }
  return qconfig;
}

bool RoundsByTexts(const QConfig& qconfig) {
  return qconfig.smooth_quant != SmoothQuant::kOff || qconfig.gptq || qconfig.bias_correction;
}

Graph QuantizeGraph(const Graph& graph, const std::set<std::string>& layers, const QConfig& qconfig,
                    const CalibrationTable* table, std::span<const Encoding> texts, int num_threads,
                    const ProgressFn& progress) {
  passes::Int8Options int8 = {.qconfig = qconfig, .is_static = table != nullptr, .ranges = {}};
  passes::CalibratedRounding rounding;
  if (RoundsByTexts(qconfig)) {
    rounding = RoundLinears(graph, layers, texts, {.qconfig = qconfig, .table = table, .threads = num_threads},
                            progress, &int8.ranges);
    int8.rounding = &rounding;
  } else if (table != nullptr) {
    int8.ranges = RangesFrom(*table, graph, layers, qconfig);
  }
  return passes::QuantizeInt8(graph, layers, int8, progress);
}

nlohmann::json RecipeOf(const QuantizeOptions& options, const QConfig& qconfig, const std::set<std::string>& layers) {
  nlohmann::json recipe = {{"layers", layers}, {"qconfig", nlohmann::json::parse(PrintQConfig(qconfig))}};
  std::set<std::string> reduced;
  std::ranges::set_intersection(options.reduced_range, layers, std::inserter(reduced, reduced.end()));
  if (!reduced.empty()) {
    recipe["reduced_range"] = reduced;
  }
  if (options.table) {
    recipe["calibration_table_texts"] = options.table->num_texts();
  }
  return recipe;
}

Model QuantizedModel(const Model& model, const std::string& method, const nlohmann::json& recipe, Graph graph) {
  ModelInfo info = model.info();
  info.path.clear();  // no file has these weights
  info.weight_files.clear();
  info.method = method;
  info.recipe = recipe.dump();
  info.stored_bytes = hf::CountWeights(graph).bytes;
  return {std::move(info), std::make_shared<const Graph>(std::move(graph)),
          model.has_tokenizer() ? std::optional(model.tokenizer()) : std::nullopt};
}

}  // namespace laconic
