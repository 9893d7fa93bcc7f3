// The artifact directory: what Laconic writes and serves from.
//
//   model.onnx, model.onnx.data   the graph at a fixed opset, and its tensors, 64-byte aligned and memory-mapped
//   tokenizer files, config.json  as they came
//   laconic.json                  schema_version, method and recipe, labels, problem type (where the original states
//                                 it), maximum length, digests: the sole authority for what config.json also says
#pragma once

#include <filesystem>

#include "base/file.h"
#include "laconic/model.h"

namespace laconic::hf {

inline constexpr int kArtifactSchemaVersion = 1;
inline constexpr int kArtifactOpset = 21;

bool IsArtifact(const std::filesystem::path& directory);

// Errors: those of Model::Load; kUnsupported for a newer schema_version.
Model LoadArtifact(const std::filesystem::path& directory);

// Where an artifact is written before it is there. Not committed, it tells whether `directory` could be written, and
// leaves nothing. Errors: kInvalidArgument if it exists and is not to be replaced; kNotFound; kIo; kResource.
AtomicDirectory StageArtifact(const std::filesystem::path& directory, bool force);

// Errors: those of Model::Save.
void SaveArtifact(const Model& model, const std::filesystem::path& directory, bool force);

}  // namespace laconic::hf
