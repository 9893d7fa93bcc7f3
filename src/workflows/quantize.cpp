#include "laconic/quantize.h"

#include <algorithm>
#include <array>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "formats/hf/weights.h"
#include "graph/graph.h"
#include "laconic/error.h"
#include "passes/layer_selection.h"
#include "passes/precision/half.h"
#include "passes/quantize/int8.h"
#include "workflows/quantized_model.h"

namespace laconic {
namespace {

using LayerNames = std::set<std::string>;

struct Method {
  std::string_view name;
  // Null: needs calibration.
  Graph (*apply)(const Graph&, const LayerNames&, const QuantizeOptions&);
};
template <DType kDType>
Graph StoreHalf(const Graph& graph, const LayerNames& layers, const QuantizeOptions& options) {
  return passes::StoreWeightsHalf(graph, layers, kDType, options.progress);
}

Graph QuantizeDynamic(const Graph& graph, const LayerNames& layers, const QuantizeOptions& options) {
  passes::Int8Options int8;
  int8.weights.reduced = options.reduced_range;
  return passes::QuantizeInt8(graph, layers, {}, int8, options.progress);
}

constexpr std::array kMethods = {Method{"dynamic", QuantizeDynamic}, Method{"static", nullptr},
                                 Method{"fp16", StoreHalf<DType::kF16>}, Method{"bf16", StoreHalf<DType::kBF16>}};

const Method& FindMethod(std::string_view name) {
  const auto found = std::ranges::find(kMethods, name, &Method::name);
  if (found == kMethods.end()) {
    Fail(ErrorCode::kInvalidArgument, "unknown method '", name,
         "'; known: ", fmt::format("{}", fmt::join(KnownMethods(), ", ")));
  }
  return *found;
}

}  // namespace

std::set<std::string> SelectedLayers(const Model& model, const QuantizeOptions& options) {
  if (model.info().method != "float") {
    Fail(ErrorCode::kInvalidArgument, "'", model.info().path.string(), "' is already compressed (", model.info().method,
         "); give the original");
  }
  passes::LayerSelection selection{.include = options.include, .exclude = options.exclude};
  if (!options.kinds.empty()) {
    selection.kinds.clear();
    std::ranges::transform(options.kinds, std::back_inserter(selection.kinds), passes::ParseLayerKind);
  }
  const std::vector<std::string> names = passes::SelectLayers(model.graph(), selection);
  if (names.empty()) {
    Fail(ErrorCode::kInvalidArgument, "the kinds and patterns given select no layer");
  }
  return {names.begin(), names.end()};
}

Model QuantizedModel(const Model& model, const std::string& method, const nlohmann::json& recipe, Graph graph) {
  ModelInfo info = model.info();
  info.method = method;
  info.recipe = recipe.dump();
  info.stored_bytes = hf::CountWeights(graph).bytes;
  return {std::move(info), std::make_shared<const Graph>(std::move(graph)),
          model.has_tokenizer() ? std::optional(model.tokenizer()) : std::nullopt};
}

std::vector<std::string_view> KnownMethods() {
  std::vector<std::string_view> names;
  std::ranges::transform(kMethods, std::back_inserter(names), &Method::name);
  return names;
}

Model QuantizeModel(const Model& model, const QuantizeOptions& options) {
  const Method& method = FindMethod(options.method);
  if (method.apply == nullptr) {
    Fail(ErrorCode::kInvalidArgument, "method '", options.method, "' needs texts to calibrate with");
  }
  const LayerNames layers = SelectedLayers(model, options);
  nlohmann::json recipe = {{"layers", layers}};
  if (!options.reduced_range.empty()) {
    recipe["reduced_range"] = options.reduced_range;
  }
  return QuantizedModel(model, options.method, recipe, method.apply(model.graph(), layers, options));
}

}  // namespace laconic
