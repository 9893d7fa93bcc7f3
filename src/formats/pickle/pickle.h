// PyTorch checkpoints as torch.save has written them since 1.6: a ZIP archive of `data.pkl` and one entry a storage.
#pragma once

#include <filesystem>
#include <optional>

#include "tensor/tensor_map.h"

namespace laconic::pickle {

// Views of the mapped file; only a storage that is not aligned for its dtype is copied, once. Views may share elements
// and need not be contiguous.
// Errors: as ParseZip and ParseStateDict; kInvalidFile for a storage that is missing or not as long as said;
// kUnsupported for torch's format before 1.6 and for big-endian storages; kNotFound, kIo.
TensorMap ReadFile(const std::filesystem::path& path);

// A directory's `pytorch_model.bin`, or else the shards of its `pytorch_model.bin.index.json`; null if it has neither.
std::optional<Checkpoint> FindCheckpoint(const std::filesystem::path& directory);

}  // namespace laconic::pickle
