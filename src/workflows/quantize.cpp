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
#include "passes/quantize/dynamic_int8.h"

namespace laconic {
namespace {

using LayerNames = std::set<std::string>;

struct Method {
  std::string_view name;
  Graph (*apply)(const Graph&, const LayerNames&, const ProgressFn&);
};
constexpr std::array kMethods = {
    Method{"dynamic", [](const Graph& graph, const LayerNames& layers,
                         const ProgressFn& progress) { return passes::QuantizeDynamicInt8(graph, layers, progress); }},
    Method{"fp16",
           [](const Graph& graph, const LayerNames& layers, const ProgressFn& progress) {
             return passes::StoreWeightsHalf(graph, layers, DType::kF16, progress);
           }},
    Method{"bf16", [](const Graph& graph, const LayerNames& layers, const ProgressFn& progress) {
             return passes::StoreWeightsHalf(graph, layers, DType::kBF16, progress);
           }}};

const Method& FindMethod(std::string_view name) {
  const auto found = std::ranges::find(kMethods, name, &Method::name);
  if (found == kMethods.end()) {
    Fail(ErrorCode::kInvalidArgument, "unknown method '", name,
         "'; known: ", fmt::format("{}", fmt::join(KnownMethods(), ", ")));
  }
  return *found;
}

LayerNames SelectedLayers(const Graph& graph, const QuantizeOptions& options) {
  passes::LayerSelection selection{.include = options.include, .exclude = options.exclude};
  if (!options.kinds.empty()) {
    selection.kinds.clear();
    std::ranges::transform(options.kinds, std::back_inserter(selection.kinds), passes::ParseLayerKind);
  }
  const std::vector<std::string> names = passes::SelectLayers(graph, selection);
  if (names.empty()) {
    Fail(ErrorCode::kInvalidArgument, "the kinds and patterns given select no layer");
  }
  return {names.begin(), names.end()};
}

}  // namespace

std::vector<std::string_view> KnownMethods() {
  std::vector<std::string_view> names;
  std::ranges::transform(kMethods, std::back_inserter(names), &Method::name);
  return names;
}

Model QuantizeModel(const Model& model, const QuantizeOptions& options) {
  const Method& method = FindMethod(options.method);
  if (model.info().method != "float") {
    Fail(ErrorCode::kInvalidArgument, "'", model.info().path.string(), "' is already compressed (", model.info().method,
         "); give the original");
  }
  const LayerNames layers = SelectedLayers(model.graph(), options);
  auto graph = std::make_shared<const Graph>(method.apply(model.graph(), layers, options.progress));
  ModelInfo info = model.info();
  info.method = options.method;
  info.recipe = nlohmann::json{{"layers", layers}}.dump();
  info.stored_bytes = hf::CountWeights(*graph).bytes;
  return {std::move(info), std::move(graph), model.has_tokenizer() ? std::optional(model.tokenizer()) : std::nullopt};
}

}  // namespace laconic
