// What a Tokenizer is made of, and the two ways to read it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/added_vocabulary.h"
#include "text/model.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"

namespace laconic::text {

struct TokenizerParts {
  std::unique_ptr<Normalizer> normalizer;       // null: none
  std::unique_ptr<PreTokenizer> pre_tokenizer;  // null: none
  std::unique_ptr<Model> model;
  std::optional<AddedVocabulary> added;  // always there
  PostProcessor post_processor;
  std::optional<BertNormalizerOptions>
      bert;  // where `normalizer` is a tokenizer.json's BertNormalizer and nothing else
  std::int64_t model_max_length = INT64_MAX;
  std::vector<std::string> file_names;
};

// Errors: those of Tokenizer::FromJson.
TokenizerParts ParseTokenizer(std::string_view tokenizer_json);

// Errors: those of Tokenizer::FromDirectory.
TokenizerParts ReadTokenizer(const std::filesystem::path& directory);

}  // namespace laconic::text
