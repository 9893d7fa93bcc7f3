// Text to token ids, equal to Hugging Face `tokenizers`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace laconic {

// One text, or pair of texts, as the model reads it, special tokens included.
struct Encoding {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> type_ids;  // as long as `ids`, or empty for all 0: which text of the pair a token is of
  bool truncated = false;
};

// Immutable; safe to use from several threads.
class Tokenizer {
 public:
  // Reads `tokenizer.json`, or else `vocab.txt` with `tokenizer_config.json`, from a Hugging Face directory.
  // Errors: kNotFound; kInvalidFile; kUnsupported for a normalizer, pre-tokenizer, model or post-processor that would
  // not be reproduced exactly.
  static Tokenizer FromDirectory(const std::filesystem::path& directory);

  // From the text of a `tokenizer.json`. Errors: as above.
  static Tokenizer FromJson(std::string_view tokenizer_json);

  // `max_length` counts special tokens; longer texts lose tokens at the end (pairs: the longer text first, as
  // Hugging Face's "longest_first"). Errors: kInvalidArgument for text that is not UTF-8, or a max_length that leaves
  // no room for the special tokens.
  Encoding Encode(std::string_view text, std::int64_t max_length) const;
  Encoding EncodePair(std::string_view first, std::string_view second, std::int64_t max_length) const;

  // One more than the largest id.
  std::int64_t vocabulary_size() const noexcept;

  // `model_max_length` of tokenizer_config.json, or INT64_MAX where there is none.
  std::int64_t model_max_length() const noexcept;

  // Files of the directory that an artifact must carry to tokenize alike.
  const std::vector<std::string>& file_names() const noexcept;

 private:
  struct Impl;
  explicit Tokenizer(std::shared_ptr<const Impl> impl) noexcept;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace laconic
