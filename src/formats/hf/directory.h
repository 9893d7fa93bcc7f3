// A Hugging Face model directory: config.json, a checkpoint, tokenizer files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include <nlohmann/json_fwd.hpp>

#include "laconic/model.h"

namespace laconic::hf {

// `path` itself, or, for an entry of the Hugging Face cache (models--org--name), the snapshot that refs/main names.
// Errors: kNotFound.
std::filesystem::path ResolveCacheEntry(const std::filesystem::path& path);

// Errors: those of Model::Load.
Model LoadDirectory(const std::filesystem::path& directory);

// The tokenizer of a directory; nothing where none of its files is there. Errors: those of Tokenizer::FromDirectory.
std::optional<Tokenizer> FindTokenizer(const std::filesystem::path& directory);

// A classifier with more labels than this is not one; it bounds what a hostile file makes us allocate.
inline constexpr std::int64_t kMaxLabels = 1'000'000;

struct LabelInfo {
  std::vector<std::string> labels;  // of id2label, or else LABEL_0 …
  ProblemType problem = ProblemType::kSingleLabel;
  bool problem_is_stated = false;
};

// `num_labels`: how many there are where config.json does not say it; transformers omits its two.
// Errors: kInvalidFile for ids that are not 0 … n-1 or names that repeat; kUnsupported for regression.
LabelInfo ParseLabels(const nlohmann::json& config, std::int64_t num_labels = 2);

}  // namespace laconic::hf
