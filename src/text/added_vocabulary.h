// Tokens that are looked for in the text itself, before anything else: special tokens and those added after training.
// Source: Hugging Face's src/tokenizer/added_vocabulary.rs, whose matches this reproduces.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/double_array.h"
#include "text/model.h"
#include "text/normalizer.h"

namespace laconic::text {

struct AddedToken {
  std::string content;
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space on its left with it
  bool rstrip = false;
  bool normalized = false;  // is looked for, itself normalized, in the normalized text
};

class AddedVocabulary {
 public:
  // Takes a part of the text: a token's id, or a section without tokens. False: no more are wanted.
  using Sink = std::function<bool(std::optional<std::int32_t> id, std::string_view section)>;

  // A token of the model keeps its id; others are numbered from model.num_tokens() on, in their order. `normalizer` may
  // be null. Errors: kUnsupported for two tokens that are normalized to the same text, or one to nothing.
  AddedVocabulary(const std::vector<AddedToken>& tokens, const Model& model, const Normalizer* normalizer);

  // The id of a token of this vocabulary or of the model; -1 if neither has it.
  std::int32_t Find(std::string_view token, const Model& model) const;
  std::int32_t largest_id() const noexcept { return by_id_.empty() ? -1 : by_id_.rbegin()->first; }

  // Cuts `text` at the tokens that are looked for in raw (normalized) text.
  bool SplitRaw(std::string_view text, const Sink& sink) const { return Split(raw_, text, sink); }
  bool SplitNormalized(std::string_view text, const Sink& sink) const { return Split(normalized_, text, sink); }

 private:
  struct Patterns {
    std::optional<DoubleArray> trie;       // none: nothing to look for
    std::array<bool, 256> begins_token{};  // whether a token begins with this byte
  };

  static Patterns MakePatterns(const std::vector<std::pair<std::string, std::int32_t>>& entries);
  bool Split(const Patterns& patterns, std::string_view text, const Sink& sink) const;

  std::map<std::string, std::int32_t, std::less<>> id_of_;
  std::map<std::int32_t, AddedToken> by_id_;
  Patterns raw_;
  Patterns normalized_;
};

}  // namespace laconic::text
