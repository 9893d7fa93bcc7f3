// A checkpoint in memory: its tensors by name; and finding it in a directory, in one file or in several.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "tensor/tensor.h"

namespace laconic {

using TensorMap = std::map<std::string, Tensor, std::less<>>;

// The tensors of `directory / name`, e.g. "model.safetensors", or else those that `name`.index.json says to be in
// shards beside it (tensors that it does not name are left out); null if the directory has neither file. `read` reads
// one file. Errors: kInvalidFile for a malformed index, a shard's name that is a path, or a tensor that is not where
// the index says; whatever `read` throws, e.g. kNotFound for a missing shard.
std::optional<TensorMap> FindCheckpoint(const std::filesystem::path& directory, const std::string& name,
                                        const std::function<TensorMap(const std::filesystem::path&)>& read);

}  // namespace laconic
