// The part of a tokenizer that cuts normalized text into the pieces its model reads: Hugging Face's pre-tokenizers.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace laconic::text {

struct Piece {
  std::string_view text;      // not empty
  bool begins_input = false;  // begins with the first character of the whole input
};

// Takes a piece, which lives as long as the call; false: no more are wanted.
using PieceSink = std::function<bool(const Piece&)>;

// Immutable.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Hands the parts of `piece` to `sink` in order. Returns false as soon as `sink` does.
  virtual bool Split(const Piece& piece, const PieceSink& sink) const = 0;
};

std::unique_ptr<PreTokenizer> MakeBertPreTokenizer();

struct ByteLevelOptions {
  bool add_prefix_space = true;  // before a text that does not begin with one
  bool use_regex = true;         // cut into words
};
std::unique_ptr<PreTokenizer> MakeByteLevelPreTokenizer(const ByteLevelOptions& options);

// From an object of type ByteLevel. Errors: as MakePreTokenizer.
ByteLevelOptions ParseByteLevel(const nlohmann::json& json);

// From a tokenizer.json's "pre_tokenizer"; null for null. Errors: kInvalidFile; kUnsupported for what would not be
// reproduced exactly; so is Metaspace's "first" if a normalizer went before (`has_normalizer`), which may have removed
// or moved the first character.
std::unique_ptr<PreTokenizer> MakePreTokenizer(const nlohmann::json& json, bool has_normalizer);

}  // namespace laconic::text
