// A checkpoint in memory: its tensors by name, and what its readers share.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace laconic {

using TensorMap = std::map<std::string, Tensor, std::less<>>;

// A row-major view of `file` from byte `offset`, or a copy where that is not aligned for `dtype`.
// Errors: kInvalidFile past the file's end.
Tensor MapTensor(const std::shared_ptr<const MappedFile>& file, std::int64_t offset, DType dtype, Shape shape);

struct Checkpoint {
  TensorMap tensors;
  std::vector<std::filesystem::path> files;  // they were read from, an index too
};

// The tensors of `directory / name`, e.g. "model.safetensors", or else those that `name`.index.json says to be in
// shards beside it (tensors that it does not name are left out); null if the directory has neither file. `read` reads
// one file. Errors: kInvalidFile for a malformed index, a shard's name that is a path, or a tensor that is not where
// the index says; whatever `read` throws, e.g. kNotFound for a missing shard.
std::optional<Checkpoint> FindCheckpoint(const std::filesystem::path& directory, const std::string& name,
                                         const std::function<TensorMap(const std::filesystem::path&)>& read);

}  // namespace laconic
