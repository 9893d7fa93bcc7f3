#include "laconic/quantize.h"

#include <algorithm>
#include <array>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "graph/graph.h"
#include "laconic/error.h"
#include "passes/precision/half.h"
#include "workflows/quantized_model.h"

namespace laconic {
namespace {

using LayerNames = std::set<std::string>;

struct Method {
  std::string_view name;
  Graph (*apply)(const Graph&, const LayerNames&, const ProgressFn&);  // null: INT8
};
template <DType kDType>
Graph StoreHalf(const Graph& graph, const LayerNames& layers, const ProgressFn& progress) {
  return passes::StoreWeightsHalf(graph, layers, kDType, progress);
}

constexpr std::array kMethods = {Method{"dynamic", nullptr}, Method{"static", nullptr},
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

std::vector<std::string_view> KnownMethods() {
  std::vector<std::string_view> names;
  std::ranges::transform(kMethods, std::back_inserter(names), &Method::name);
  return names;
}

Model QuantizeModel(const Model& model, const QuantizeOptions& options) {
  const Method& method = FindMethod(options.method);
  if (method.apply != nullptr) {
    if (options.qconfig || options.table || !options.reduced_range.empty()) {
      Fail(ErrorCode::kInvalidArgument, "a QConfig is for methods dynamic and static, got '", options.method, "'");
    }
    const LayerNames layers = SelectedLayers(model, options);
    return QuantizedModel(model, options.method, {{"layers", layers}},
                          method.apply(model.graph(), layers, options.progress));
  }
  if (options.method == "static" && !options.table) {
    Fail(ErrorCode::kInvalidArgument, "method 'static' needs texts or a table to calibrate with");
  }
  const QConfig qconfig = FindQConfig(options, false);
  const LayerNames layers = SelectedLayers(model, options, qconfig);
  Graph graph = QuantizeGraph(model.graph(), layers, WithReducedRange(qconfig, options.reduced_range),
                              options.table ? &*options.table : nullptr, {}, 1, options.progress);
  return QuantizedModel(model, options.method, RecipeOf(options, qconfig, layers), std::move(graph));
}

}  // namespace laconic
