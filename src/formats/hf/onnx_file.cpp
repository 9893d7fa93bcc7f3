#include "formats/hf/onnx_file.h"

#include <algorithm>
#include <limits>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json.h"
#include "formats/hf/directory.h"
#include "formats/hf/weights.h"
#include "formats/onnx/onnx.h"
#include "graph/extract.h"
#include "graph/graph.h"
#include "graph/model_io.h"
#include "laconic/error.h"
#include "passes/fusion/pipeline.h"

namespace laconic::hf {
namespace {
namespace fs = std::filesystem;

// Where a model's other files are: beside `file`, or above it in the layout of the hub. Empty where they are not.
fs::path FindHome(const fs::path& file) {
  const fs::path directory = fs::absolute(file).parent_path();
  for (const fs::path& home : {directory, directory.filename() == "onnx" ? directory.parent_path() : directory}) {
    if (Exists(home / "config.json")) {
      return home;
    }
  }
  return {};
}

// Another exporter's graph becomes the one that our own readers build; of several outputs the logits count.
Graph Canonical(Graph graph) {
  if (!passes::IsCanonical(graph)) {
    graph = passes::Fuse(graph).graph;
  }
  const std::optional<ValueId> logits = graph.FindValue(kLogits);
  const bool is_one_of_many =
      graph.outputs().size() > 1 && logits && std::ranges::find(graph.outputs(), *logits) != graph.outputs().end();
  return is_one_of_many ? Extract(graph, *logits) : std::move(graph);
}

// Labels of a graph with the one output f32[batch, labels]; 0 of any other. `stated`: the file's types of outputs, for
// one whose shape the graph does not tell. Errors: kInvalidFile over kMaxLabels.
std::int64_t NumLabels(const Graph& graph, const std::map<std::string, ValueType>& stated) {
  if (graph.outputs().size() != 1) {
    return 0;
  }
  const Value& output = graph.value(graph.outputs()[0]);
  const auto found = stated.find(output.name);
  const ValueType& type = output.type.has_shape || found == stated.end() ? output.type : found->second;
  const std::int64_t num_labels = type.has_rank(2) && type.shape[1].is_fixed() ? type.shape[1].size : 0;
  if (num_labels > kMaxLabels) {
    Fail(ErrorCode::kInvalidFile, "expected at most ", kMaxLabels, " labels, got ", num_labels);
  }
  return num_labels;
}

// Tokens that the table has rows for in which positions are looked up, or the largest number where no such table is
// recognised.
std::int64_t NumPositions(const Graph& graph) {
  std::int64_t rows = std::numeric_limits<std::int64_t>::max();
  for (const Node& node : graph.nodes()) {
    const Node* ids = node.op == "Gather" ? graph.FindProducer(node.inputs[1]) : nullptr;
    if (ids == nullptr || ids->op != "laconic.Positions") {
      continue;
    }
    const ValueType& table = graph.value(node.inputs[0]).type;
    if (table.has_rank(2) && table.shape[0].is_fixed()) {
      rows = std::min(rows, table.shape[0].size - IntAttribute(*ids, "offset"));
    }
  }
  return rows;
}

bool SaysLabels(const nlohmann::json& config) {
  return config.contains("id2label") || !JsonValueOr<std::string>(config, "problem_type", "").empty();
}

void NameLabels(const nlohmann::json& config, std::int64_t num_labels, ModelInfo* info) {
  LabelInfo stated = ParseLabels(config, num_labels);
  if (static_cast<std::int64_t>(stated.labels.size()) != num_labels) {
    Fail(ErrorCode::kInvalidFile, "config.json beside it names ", stated.labels.size(), " labels, but the graph gives ",
         num_labels);
  }
  info->labels = std::move(stated.labels);
  info->problem = stated.problem;
  info->problem_is_stated = stated.problem_is_stated;
}

}  // namespace

fs::path FindOnnxFile(const fs::path& directory) {
  for (const char* checkpoint :
       {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"}) {
    if (Exists(directory / checkpoint)) {
      return {};
    }
  }
  for (const char* name : {"model.onnx", "onnx/model.onnx"}) {
    if (Exists(directory / name)) {
      return directory / name;
    }
  }
  return {};
}

Model LoadOnnxFile(const fs::path& file) {
  OnnxModel onnx = ReadOnnx(file);
  onnx.graph = Canonical(std::move(onnx.graph));
  ModelInfo info;
  const WeightCount weights = CountWeights(onnx.graph);
  info.base_parameters = weights.elements;
  info.stored_bytes = weights.bytes;
  info.path = file;
  info.weight_files = std::move(onnx.files);
  const std::int64_t num_labels = NumLabels(onnx.graph, onnx.outputs);
  std::optional<Tokenizer> tokenizer;
  if (const fs::path home = FindHome(file); !home.empty()) {
    const nlohmann::json config = ReadJsonFile(home / "config.json");
    info.model_type = JsonValueOr<std::string>(config, "model_type", "");
    if (num_labels > 0 && SaysLabels(config)) {
      WithFrame([&] { return "file '" + file.string() + "'"; }, [&] { NameLabels(config, num_labels, &info); });
    }
    info.home = home;
    tokenizer = FindTokenizer(home);
    if (tokenizer) {
      info.max_length = std::min(tokenizer->model_max_length(), NumPositions(onnx.graph));
    }
  }
  if (info.labels.empty()) {
    for (std::int64_t i = 0; i < num_labels; ++i) {
      info.labels.push_back("LABEL_" + std::to_string(i));
    }
  }
  return {std::move(info), std::make_shared<const Graph>(std::move(onnx.graph)), std::move(tokenizer)};
}

}  // namespace laconic::hf
