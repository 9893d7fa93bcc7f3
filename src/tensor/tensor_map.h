// A checkpoint in memory: its tensors by name; and the index of a checkpoint split into several files.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "tensor/tensor.h"

namespace laconic {

using TensorMap = std::map<std::string, Tensor, std::less<>>;

// The tensors that the `weight_map` of `index` (`model.safetensors.index.json`, `pytorch_model.bin.index.json`) names,
// from the files beside it, each read once with `read_shard`. Tensors that the index does not name are left out.
// Errors: kInvalidFile for a malformed index, a shard's name that is a path, or a tensor that is not where the index
// says; whatever `read_shard` throws, e.g. kNotFound for a missing shard.
TensorMap ReadShardedTensors(const std::filesystem::path& index,
                             const std::function<TensorMap(const std::filesystem::path&)>& read_shard);

}  // namespace laconic
