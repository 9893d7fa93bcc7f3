#include "laconic/model.h"

#include "base/file.h"
#include "formats/hf/artifact.h"
#include "formats/hf/directory.h"
#include "formats/hf/model_name.h"
#include "formats/hf/onnx_file.h"
#include "graph/graph.h"
#include "laconic/error.h"

namespace laconic {

namespace fs = std::filesystem;

Model::Model(ModelInfo info, std::shared_ptr<const Graph> graph, std::optional<Tokenizer> tokenizer)
    : info_(std::move(info)), graph_(std::move(graph)), tokenizer_(std::move(tokenizer)) {}

Model Model::Load(const fs::path& path) {
  if (!Exists(path)) {
    Fail(ErrorCode::kNotFound, "no model at '", path.string(), "'");
  }
  if (!IsDirectory(path)) {
    return hf::LoadOnnxFile(path);
  }
  const fs::path directory = hf::ResolveCacheEntry(path);
  if (hf::IsArtifact(directory)) {
    return hf::LoadArtifact(directory);
  }
  const fs::path onnx = hf::FindOnnxFile(directory);
  return onnx.empty() ? hf::LoadDirectory(directory) : hf::LoadOnnxFile(onnx);
}

void Model::Save(const fs::path& directory, bool force) const { hf::SaveArtifact(*this, directory, force); }

const Tokenizer& Model::tokenizer() const {
  if (!tokenizer_) {
    Fail(ErrorCode::kInvalidArgument, NameOf(*this),
         " brings no tokenizer; put config.json and its tokenizer files beside it");
  }
  return *tokenizer_;
}

}  // namespace laconic
