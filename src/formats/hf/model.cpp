#include "laconic/model.h"

#include "base/file.h"
#include "formats/hf/artifact.h"
#include "formats/hf/directory.h"
#include "formats/hf/weights.h"
#include "formats/onnx/onnx.h"
#include "graph/graph.h"
#include "laconic/error.h"

namespace laconic {
namespace {
namespace fs = std::filesystem;

Model LoadOnnxFile(const fs::path& path) {
  OnnxModel onnx = ReadOnnx(path);
  ModelInfo info;
  const hf::WeightCount weights = hf::CountWeights(onnx.graph);
  info.base_parameters = weights.elements;
  info.stored_bytes = weights.bytes;
  info.path = path;
  if (onnx.graph.outputs().size() == 1) {
    const ValueType& type = onnx.graph.value(onnx.graph.outputs()[0]).type;
    const std::int64_t num_labels = type.shape.size() == 2 && type.shape[1].is_fixed() ? type.shape[1].size : 0;
    for (std::int64_t i = 0; i < num_labels; ++i) {
      info.labels.push_back("LABEL_" + std::to_string(i));
    }
  }
  return {std::move(info), std::make_shared<const Graph>(std::move(onnx.graph)), std::nullopt};
}

}  // namespace

Model::Model(ModelInfo info, std::shared_ptr<const Graph> graph, std::optional<Tokenizer> tokenizer)
    : info_(std::move(info)), graph_(std::move(graph)), tokenizer_(std::move(tokenizer)) {}

Model Model::Load(const fs::path& path) {
  if (!Exists(path)) {
    Fail(ErrorCode::kNotFound, "no model at '", path.string(), "'");
  }
  if (!IsDirectory(path)) {
    return LoadOnnxFile(path);
  }
  const fs::path directory = hf::ResolveCacheEntry(path);
  return hf::IsArtifact(directory) ? hf::LoadArtifact(directory) : hf::LoadDirectory(directory);
}

void Model::Save(const fs::path& directory, bool force) const { hf::SaveArtifact(*this, directory, force); }

const Tokenizer& Model::tokenizer() const {
  if (!tokenizer_) {
    Fail(ErrorCode::kInvalidArgument, "'", info_.path.string(), "' brings no tokenizer; give a model directory");
  }
  return *tokenizer_;
}

}  // namespace laconic
