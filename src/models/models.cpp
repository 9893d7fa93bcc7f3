#include "models/models.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "laconic/error.h"

namespace laconic::models {
namespace {

struct Architecture {
  std::string_view model_type;
  BuiltModel (*build)(const nlohmann::json&, const TensorMap&, const BuildOptions&);
};
constexpr std::array kArchitectures = {Architecture{"bert", BuildBert},
                                       Architecture{"electra", BuildElectra},
                                       Architecture{"distilbert", BuildDistilBert},
                                       Architecture{"roberta", BuildRoberta},
                                       Architecture{"xlm-roberta", BuildRoberta},
                                       Architecture{"camembert", BuildRoberta},
                                       Architecture{"albert", BuildAlbert}};

}  // namespace

std::vector<std::string_view> KnownModelTypes() {
  std::vector<std::string_view> types;
  std::ranges::transform(kArchitectures, std::back_inserter(types), &Architecture::model_type);
  return types;
}

BuiltModel BuildModel(const nlohmann::json& config, const TensorMap& tensors, const BuildOptions& options) {
  const auto model_type = JsonValueOr<std::string>(config, "model_type", "");
  const auto found = std::ranges::find(kArchitectures, model_type, &Architecture::model_type);
  if (found == kArchitectures.end()) {
    Fail(ErrorCode::kUnsupported, "config.json: model_type '", model_type,
         "' is not known; known: ", fmt::format("{}", fmt::join(KnownModelTypes(), ", ")));
  }
  return found->build(config, tensors, options);
}

}  // namespace laconic::models
