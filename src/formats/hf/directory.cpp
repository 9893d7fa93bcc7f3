#include "formats/hf/directory.h"

#include <algorithm>
#include <charconv>
#include <set>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json.h"
#include "formats/hf/weights.h"
#include "formats/pickle/pickle.h"
#include "formats/safetensors/safetensors.h"
#include "graph/graph.h"
#include "laconic/error.h"
#include "models/models.h"

namespace laconic::hf {
namespace {
namespace fs = std::filesystem;

Checkpoint ReadCheckpoint(const fs::path& directory) {
  if (std::optional<Checkpoint> checkpoint = safetensors::FindCheckpoint(directory)) {
    return *std::move(checkpoint);
  }
  if (std::optional<Checkpoint> checkpoint = pickle::FindCheckpoint(directory)) {
    return *std::move(checkpoint);
  }
  Fail(
      ErrorCode::kNotFound, "no checkpoint in '", directory.string(),
      "': expected model.safetensors, model.safetensors.index.json, pytorch_model.bin or pytorch_model.bin.index.json");
}

bool IsClassifier(const nlohmann::json& config) {
  const auto found = config.find("architectures");
  return found != config.end() && found->is_array() && std::ranges::any_of(*found, [](const nlohmann::json& name) {
           return name.is_string() && name.get<std::string>().ends_with("ForSequenceClassification");
         });
}

// sentence-transformers' 1_Pooling/config.json, where there is one.
models::Pooling ReadPooling(const fs::path& directory) {
  const fs::path path = directory / "1_Pooling" / "config.json";
  if (!Exists(path)) {
    return models::Pooling::kArchitecture;
  }
  return WithFrame([&] { return "file '" + path.string() + "'"; },
                   [&] {
                     const nlohmann::json pooling = ParseJson(ReadFile(path, 1 << 20));
                     std::vector<std::string> modes;
                     for (const auto& [key, value] : pooling.items()) {
                       if (key.starts_with("pooling_mode_") && value.is_boolean() && value.get<bool>()) {
                         modes.push_back(key);
                       }
                     }
                     if (modes == std::vector<std::string>{"pooling_mode_mean_tokens"}) {
                       return models::Pooling::kMean;
                     }
                     if (modes == std::vector<std::string>{"pooling_mode_cls_token"}) {
                       return models::Pooling::kFirstToken;
                     }
                     Fail(ErrorCode::kUnsupported, "expected exactly one of pooling_mode_mean_tokens and ",
                          "pooling_mode_cls_token to be true, got ", modes.size(), " modes",
                          modes.empty() ? "" : ", the first " + modes[0]);
                   });
}

std::vector<std::string> NamesById(const nlohmann::json& id2label) {
  const auto count = static_cast<std::int64_t>(id2label.size());
  std::vector<std::string> names(id2label.size());
  std::set<std::string> seen;
  for (const auto& [key, value] : id2label.items()) {
    std::int64_t id = -1;
    std::from_chars(key.data(), key.data() + key.size(), id);
    if (key != std::to_string(id) || id < 0 || id >= count || !value.is_string()) {
      Fail(ErrorCode::kInvalidFile, "config.json: id2label: expected ids 0 to ", count - 1,
           " with names as strings, got '", key, "': ", value.dump());
    }
    auto name = value.get<std::string>();
    if (!seen.insert(name).second) {
      Fail(ErrorCode::kInvalidFile, "config.json: id2label: two labels are called '", name, "'");
    }
    names[static_cast<std::size_t>(id)] = std::move(name);
  }
  return names;
}

}  // namespace

fs::path ResolveCacheEntry(const fs::path& path) {
  const fs::path ref = path / "refs" / "main";
  if (Exists(path / "config.json") || !Exists(path / "snapshots")) {
    return path;
  }
  std::string revision = ReadFile(ref, 4096);
  while (!revision.empty() && std::isspace(static_cast<unsigned char>(revision.back())) != 0) {
    revision.pop_back();
  }
  fs::path snapshot = path / "snapshots" / revision;
  if (revision.empty() || revision[0] == '.' || revision.find('/') != std::string::npos || !IsDirectory(snapshot)) {
    Fail(ErrorCode::kNotFound, "'", ref.string(), "' names the snapshot '", revision, "', which is not there");
  }
  return snapshot;
}

LabelInfo ParseLabels(const nlohmann::json& config, std::int64_t num_labels) {
  LabelInfo info;
  const auto id2label = config.find("id2label");
  if (id2label != config.end() && !id2label->empty()) {
    info.labels = NamesById(*id2label);
  } else {
    const auto count = JsonValueOr<std::int64_t>(config, "num_labels", num_labels);
    if (count < 1 || count > kMaxLabels) {
      Fail(ErrorCode::kInvalidFile, "config.json: num_labels: expected 1 to ", kMaxLabels, ", got ", count);
    }
    for (std::int64_t i = 0; i < count; ++i) {
      info.labels.push_back("LABEL_" + std::to_string(i));
    }
  }
  const auto problem = JsonValueOr<std::string>(config, "problem_type", "");
  info.problem_is_stated = !problem.empty();
  if (problem == "multi_label_classification") {
    info.problem = ProblemType::kMultiLabel;
  } else if (problem == "regression" || (problem.empty() && info.labels.size() == 1)) {
    Fail(ErrorCode::kUnsupported, "config.json describes a regression",
         problem.empty() ? " (one label and no problem_type)" : "", "; only classifiers are supported");
  } else if (!problem.empty() && problem != "single_label_classification") {
    Fail(ErrorCode::kInvalidFile, "config.json: problem_type '", problem,
         "'; expected single_label_classification or multi_label_classification");
  }
  return info;
}

std::optional<Tokenizer> FindTokenizer(const fs::path& directory) {
  for (const char* name : {"tokenizer.json", "vocab.txt", "vocab.json", "tokenizer_config.json"}) {
    if (Exists(directory / name)) {
      return Tokenizer::FromDirectory(directory);
    }
  }
  return std::nullopt;
}

Model LoadDirectory(const fs::path& directory) {
  const nlohmann::json config = ReadJsonFile(directory / "config.json");
  const bool is_classifier = IsClassifier(config);
  // The labels of an encoder without a head mean nothing: transformers writes two into every config.json.
  models::BuildOptions options{.expect_head = is_classifier, .pooling = ReadPooling(directory)};
  LabelInfo labels;
  if (is_classifier) {
    labels = ParseLabels(config);
    options.num_labels = static_cast<std::int64_t>(labels.labels.size());
  }
  std::vector<fs::path> weight_files;
  models::BuiltModel built = WithFrame([&] { return "directory '" + directory.string() + "'"; },
                                       [&] {
                                         Checkpoint checkpoint = ReadCheckpoint(directory);
                                         weight_files = std::move(checkpoint.files);
                                         return models::BuildModel(config, checkpoint.tensors, options);
                                       });
  Tokenizer tokenizer = Tokenizer::FromDirectory(directory);
  ModelInfo info;
  info.model_type = config["model_type"].get<std::string>();
  info.labels = std::move(labels.labels);
  info.problem = labels.problem;
  info.problem_is_stated = labels.problem_is_stated;
  info.max_length = std::min(tokenizer.model_max_length(), built.max_positions);
  info.base_parameters = CountWeights(built.graph).elements;
  info.stored_bytes = built.stored_bytes;
  info.ignored = std::move(built.ignored);
  info.path = directory;
  info.weight_files = std::move(weight_files);
  info.home = directory;
  return {std::move(info), std::make_shared<const Graph>(std::move(built.graph)), std::move(tokenizer)};
}

}  // namespace laconic::hf
