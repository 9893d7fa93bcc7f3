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
  std::vector<std::string> labels;  // of id2label, or LABEL_0 … of num_labels, or of two labels
  ProblemType problem = ProblemType::kSingleLabel;
  bool problem_is_stated = false;
};

// Errors: kInvalidFile for ids that are not 0 … n-1 or names that repeat; kUnsupported for regression.
LabelInfo ParseLabels(const nlohmann::json& config);

}  // namespace laconic::hf
