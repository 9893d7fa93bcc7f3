// What a Tokenizer is made of, and the two ways to read it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

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
  std::optional<ByteLevelOptions> byte_level;  // likewise, of the pre-tokenizer
  std::int64_t model_max_length = INT64_MAX;
  std::vector<std::string> file_names;
};

// {"token": id, …}. Errors: kInvalidFile.
Vocabulary ParseVocabularyObject(const nlohmann::json& tokens);

// Appends the merge of a line "a b"; a line that begins with "#version" is none. Errors: kInvalidFile.
void AppendMerge(std::string_view text, BpeMerges* merges);

// Errors: those of Tokenizer::FromJson.
TokenizerParts ParseTokenizer(std::string_view tokenizer_json);

// Errors: those of Tokenizer::FromDirectory.
TokenizerParts ReadTokenizer(const std::filesystem::path& directory);

}  // namespace laconic::text
