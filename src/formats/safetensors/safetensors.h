// Safetensors checkpoints: an 8-byte length, a JSON header, then the tensors' bytes.
// Source: https://huggingface.co/docs/safetensors, and the checks of its Rust implementation (`Metadata::validate`).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tensor/tensor_map.h"

namespace laconic::safetensors {

struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  std::int64_t offset_bytes = 0;  // from the start of the file
  std::int64_t size_bytes = 0;    // as dtype and shape say
};

struct Header {
  std::vector<TensorInfo> tensors;              // in the order of their bytes
  std::map<std::string, std::string> metadata;  // "__metadata__"
};

// Checks everything that a header says against the whole file's bytes: the tensors lie in the file, each as long as its
// dtype and shape say, one after another, without a gap, up to the last byte.
// Errors: kInvalidFile; kUnsupported for a dtype that DType lacks.
Header ParseHeader(std::span<const std::byte> file);

// Views of the mapped file; only a tensor that is not aligned for its dtype is copied. Errors: as above; kNotFound,
// kIo.
TensorMap ReadFile(const std::filesystem::path& path);

// A directory's `model.safetensors`, or else the shards of its `model.safetensors.index.json`; null if it has neither.
std::optional<Checkpoint> FindCheckpoint(const std::filesystem::path& directory);

}  // namespace laconic::safetensors
