#include "formats/hf/artifact.h"

#include <nlohmann/json.hpp>

#include "base/cancel.h"
#include "base/file.h"
#include "base/json.h"
#include "base/sha256.h"
#include "formats/hf/directory.h"
#include "formats/hf/weights.h"
#include "formats/onnx/onnx.h"
#include "graph/graph.h"
#include "laconic/error.h"
#include "laconic/version.h"

namespace laconic {
namespace hf {
namespace {
namespace fs = std::filesystem;

constexpr std::string_view kManifest = "laconic.json";
constexpr std::string_view kGraphFile = "model.onnx";
constexpr std::string_view kConfigFile = "config.json";

std::string_view ProblemName(ProblemType problem) {
  return problem == ProblemType::kMultiLabel ? "multi_label_classification" : "single_label_classification";
}

ProblemType ParseProblem(const std::string& name) {
  for (const ProblemType problem : {ProblemType::kSingleLabel, ProblemType::kMultiLabel}) {
    if (name == ProblemName(problem)) {
      return problem;
    }
  }
  Fail(ErrorCode::kInvalidFile, "problem_type '", name, "' is not known");
}

std::vector<std::string> ParseNames(const nlohmann::json& manifest) {
  const auto found = manifest.find("labels");
  if (found == manifest.end() || !found->is_array()) {
    Fail(ErrorCode::kInvalidFile, "'labels': expected a list of names");
  }
  std::vector<std::string> names;
  for (const nlohmann::json& name : *found) {
    if (!name.is_string()) {
      Fail(ErrorCode::kInvalidFile, "'labels': expected a list of names, got ", name.dump());
    }
    names.push_back(name.get<std::string>());
  }
  return names;
}

ModelInfo ParseManifest(const nlohmann::json& manifest) {
  const auto version = JsonValueOr<std::int64_t>(manifest, "schema_version", 0);
  if (version < 1 || version > kArtifactSchemaVersion) {
    Fail(ErrorCode::kUnsupported, "schema_version ", version, "; this program reads up to ", kArtifactSchemaVersion);
  }
  ModelInfo info;
  info.model_type = JsonValueOr<std::string>(manifest, "model_type", "");
  info.method = JsonValueOr<std::string>(manifest, "method", "float");
  info.recipe = manifest.value("recipe", nlohmann::json::object()).dump();
  info.labels = ParseNames(manifest);
  const auto problem = JsonValueOr<std::string>(manifest, "problem_type", "");
  info.problem_is_stated = !problem.empty();
  if (info.problem_is_stated) {
    info.problem = ParseProblem(problem);
  }
  info.max_length = JsonValueOr<std::int64_t>(manifest, "max_length", 0);
  info.base_parameters = JsonValueOr<std::int64_t>(manifest, "base_parameters", 0);
  if (info.max_length < 0 || info.base_parameters < 1) {
    Fail(ErrorCode::kInvalidFile, "expected a max_length of at least 0 and positive base_parameters, got ",
         info.max_length, " and ", info.base_parameters);
  }
  return info;
}

void CheckLogits(const ModelInfo& info, const Graph& graph) {
  if (graph.outputs().size() != 1) {
    Fail(ErrorCode::kInvalidFile, "the graph has ", graph.outputs().size(), " outputs, expected 1");
  }
  const ValueType& type = graph.value(graph.outputs()[0]).type;
  const auto num_labels = static_cast<std::int64_t>(info.labels.size());
  if (num_labels > 0 && (type.shape.size() != 2 || type.shape[1] != Dim(num_labels))) {
    Fail(ErrorCode::kInvalidFile, "laconic.json names ", num_labels, " labels, but the graph gives ", ToString(type));
  }
}

void CopyFileTo(const fs::path& from, const fs::path& directory) {
  AtomicFile file(directory / from.filename(), false);
  file.Write(ReadFile(from, std::int64_t{1} << 30));
  file.Commit();
}

// The original's config.json with the labels that the model has now: readers of model.onnx alone take them from it.
void WriteConfig(const ModelInfo& info, const fs::path& directory) {
  nlohmann::json config = ReadJsonFile(info.home / kConfigFile);
  if (!info.labels.empty()) {
    config.erase("num_labels");
    config["id2label"] = nlohmann::json::object();
    config["label2id"] = nlohmann::json::object();
    for (std::size_t i = 0; i < info.labels.size(); ++i) {
      config["id2label"][std::to_string(i)] = info.labels[i];
      config["label2id"][info.labels[i]] = i;
    }
    if (info.problem_is_stated) {
      config["problem_type"] = ProblemName(info.problem);
    }
  }
  AtomicFile file(directory / kConfigFile, false);
  file.Write(config.dump(2) + "\n");
  file.Commit();
}

nlohmann::json Digests(const fs::path& directory) {
  nlohmann::json digests = nlohmann::json::object();
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    ThrowIfCancelled();
    digests[entry.path().filename().string()] = Sha256HexOfFile(entry.path());
  }
  return digests;
}

}  // namespace

bool IsArtifact(const fs::path& directory) { return Exists(directory / kManifest); }

Model LoadArtifact(const fs::path& directory) {
  const fs::path manifest_path = directory / kManifest;
  ModelInfo info = WithFrame([&] { return "file '" + manifest_path.string() + "'"; },
                             [&] { return ParseManifest(ParseJson(ReadFile(manifest_path, 64 << 20))); });
  OnnxModel onnx = ReadOnnx(directory / kGraphFile);
  CheckLogits(info, onnx.graph);
  info.stored_bytes = CountWeights(onnx.graph).bytes;
  info.path = directory;
  info.weight_files = std::move(onnx.files);
  info.home = directory;
  std::optional<Tokenizer> tokenizer = FindTokenizer(directory);
  if (tokenizer && info.max_length < 1) {
    Fail(ErrorCode::kInvalidFile, "file '", manifest_path.string(), "': expected a positive max_length, got ",
         info.max_length);
  }
  return {std::move(info), std::make_shared<const Graph>(std::move(onnx.graph)), std::move(tokenizer)};
}

AtomicDirectory StageArtifact(const fs::path& directory, bool force) {
  if (force && IsDirectory(directory) && !fs::is_empty(directory) && !IsArtifact(directory)) {
    Fail(ErrorCode::kInvalidArgument, "directory '", directory.string(), "' has no ", kManifest,
         ": only what laconic wrote is replaced");  // a slip of the hand must not cost a home directory
  }
  return AtomicDirectory(directory, force);
}

void SaveArtifact(const Model& model, const fs::path& directory, bool force) {
  const ModelInfo& info = model.info();
  AtomicDirectory output = StageArtifact(directory, force);
  const fs::path& staging = output.staging();
  WriteOnnx(model.graph(), staging / kGraphFile, {.opset = kArtifactOpset, .external_data = true});
  if (model.has_tokenizer()) {
    for (const std::string& name : model.tokenizer().file_names()) {
      CopyFileTo(info.home / name, staging);
    }
  }
  if (!info.home.empty() && Exists(info.home / kConfigFile)) {
    WriteConfig(info, staging);
  }
  nlohmann::json manifest = {{"schema_version", kArtifactSchemaVersion},
                             {"laconic_version", kVersion},
                             {"model_type", info.model_type},
                             {"method", info.method},
                             {"recipe", info.recipe.empty() ? nlohmann::json::object() : ParseJson(info.recipe)},
                             {"labels", info.labels},
                             {"max_length", info.max_length},
                             {"base_parameters", info.base_parameters},
                             {"sha256", Digests(staging)}};
  if (info.problem_is_stated) {  // else the copy follows the data, as the original does
    manifest["problem_type"] = ProblemName(info.problem);
  }
  AtomicFile file(staging / kManifest, false);
  file.Write(manifest.dump(2) + "\n");
  file.Commit();
  ThrowIfCancelled();
  output.Commit();
}

}  // namespace hf

void VerifyDigests(const std::filesystem::path& directory) {
  const nlohmann::json manifest = ReadJsonFile(directory / hf::kManifest);
  const auto digests = manifest.find("sha256");
  if (digests == manifest.end() || !digests->is_object() || digests->empty()) {
    Fail(ErrorCode::kInvalidFile, "'", (directory / hf::kManifest).string(), "' has no digests");
  }
  for (const auto& [name, expected] : digests->items()) {
    if (name.find('/') != std::string::npos || !expected.is_string()) {
      Fail(ErrorCode::kInvalidFile, "malformed digest entry '", name, "'");
    }
    const std::string got = Sha256HexOfFile(directory / name);
    if (got != expected.get<std::string>()) {
      Fail(ErrorCode::kInvalidFile, "'", (directory / name).string(), "': expected SHA-256 ",
           expected.get<std::string>(), ", got ", got);
    }
  }
}

}  // namespace laconic
