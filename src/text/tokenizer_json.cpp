
#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "laconic/error.h"
#include "text/json_options.h"
#include "text/serde_number.h"
#include "text/tokenizer_parts.h"

namespace laconic::text {
namespace {

// Builds the document, with numbers as serde_json rounds them.
class DocumentBuilder : public nlohmann::json::json_sax_t {
 public:
  bool null() override { return Add(nullptr); }
  bool boolean(bool value) override { return Add(value); }
  bool number_integer(number_integer_t value) override { return Add(value); }
  bool number_unsigned(number_unsigned_t value) override { return Add(value); }
  bool number_float(number_float_t /*value*/, const string_t& text) override { return Add(ParseSerdeDouble(text)); }
  bool string(string_t& value) override { return Add(std::move(value)); }
  bool binary(binary_t& /*value*/) override { return false; }
  bool start_object(std::size_t /*size*/) override { return Open(nlohmann::json::object()); }
  bool key(string_t& value) override {
    key_ = std::move(value);
    return true;
  }
  bool end_object() override { return Close(); }
  bool start_array(std::size_t /*size*/) override { return Open(nlohmann::json::array()); }
  bool end_array() override { return Close(); }
  bool parse_error(std::size_t /*at*/, const std::string& /*token*/, const nlohmann::json::exception& error) override {
    Fail(ErrorCode::kInvalidFile, DescribeJsonError(error.what()));
  }

  nlohmann::json Take() { return std::move(root_); }

 private:
  nlohmann::json* Put(nlohmann::json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    nlohmann::json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[key_] = std::move(value));
  }
  bool Add(nlohmann::json value) {
    Put(std::move(value));
    return true;
  }
  bool Open(nlohmann::json container) {
    if (open_.size() == kMaxJsonDepth) {
      Fail(ErrorCode::kInvalidFile, "JSON nested deeper than ", kMaxJsonDepth, " levels");
    }
    open_.push_back(Put(std::move(container)));
    return true;
  }
  bool Close() {
    open_.pop_back();
    return true;
  }

  nlohmann::json root_;
  std::vector<nlohmann::json*> open_;  // the containers around the next value; only the last one grows
  std::string key_;
};

std::unique_ptr<Model> ParseWordPiece(const nlohmann::json& json) {
  CheckKeys(json, {"unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"});
  const WordPiece::Options options{.unknown_token = RequiredString(json, "unk_token"),
                                   .continuing_prefix = RequiredString(json, "continuing_subword_prefix"),
                                   .max_chars_per_word = RequiredId(json, "max_input_chars_per_word")};
  return std::make_unique<WordPiece>(ParseVocabularyObject(Required(json, "vocab")), options);
}

// "a b" or ["a", "b"]; only one form in a file.
BpeMerges ParseMerges(const nlohmann::json& json) {
  const nlohmann::json& items = RequiredArray(json, "merges");
  BpeMerges merges;
  merges.reserve(items.size());
  for (const nlohmann::json& item : items) {
    const bool is_pair = item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string();
    if (item.type() != items.front().type() || !(is_pair || item.is_string())) {
      Fail(ErrorCode::kInvalidFile, "merge ", merges.size() + 1, ": expected ",
           items.front().is_string() ? "two tokens in a string" : "a pair of tokens, as the others", ", got ",
           item.dump().substr(0, 80));
    }
    if (is_pair) {
      merges.emplace_back(item[0].get<std::string>(), item[1].get<std::string>());
    } else {
      AppendMerge(item.get<std::string>(), &merges);
    }
  }
  return merges;
}

std::string ParseAffix(const nlohmann::json& json, std::string_view key) {
  auto affix = JsonValueOr<std::string>(json, std::string(key), "");
  const bool is_ascii = std::ranges::all_of(affix, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (!is_ascii || affix.size() > Bpe::kMaxAffixBytes) {
    FailUnsupported(key, affix);
  }
  return affix;
}

std::unique_ptr<Model> ParseBpe(const nlohmann::json& json) {
  CheckKeys(json, {"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                   "byte_fallback", "ignore_merges", "vocab", "merges"});
  if (JsonValueOr<double>(json, "dropout", 0.0) != 0.0) {
    FailUnsupported("dropout", json["dropout"].dump());
  }
  Bpe::Options options{.continuing_prefix = ParseAffix(json, "continuing_subword_prefix"),
                       .word_suffix = ParseAffix(json, "end_of_word_suffix"),
                       .fuse_unknown = JsonValueOr<bool>(json, "fuse_unk", false),
                       .byte_fallback = JsonValueOr<bool>(json, "byte_fallback", false),
                       .ignore_merges = JsonValueOr<bool>(json, "ignore_merges", false)};
  if (json.contains("unk_token") && !json["unk_token"].is_null()) {
    options.unknown_token = RequiredString(json, "unk_token");
  }
  return std::make_unique<Bpe>(ParseVocabularyObject(Required(json, "vocab")), ParseMerges(json), std::move(options));
}

std::unique_ptr<Model> ParseUnigram(const nlohmann::json& json) {
  CheckKeys(json, {"unk_id", "vocab", "byte_fallback"});
  std::vector<std::pair<std::string, double>> pieces;
  for (const nlohmann::json& item : RequiredArray(json, "vocab")) {
    if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !item[1].is_number()) {
      Fail(ErrorCode::kInvalidFile, "'vocab': expected pairs of a piece and its score, got ",
           item.dump().substr(0, 80));
    }
    pieces.emplace_back(item[0].get<std::string>(), item[1].get<double>());
  }
  if (Required(json, "unk_id").is_null()) {
    FailUnsupported("Unigram unk_id", "null");
  }
  return std::make_unique<Unigram>(pieces, RequiredId(json, "unk_id"), JsonValueOr<bool>(json, "byte_fallback", false));
}

std::unique_ptr<Model> ParseModel(const nlohmann::json& json) {
  const nlohmann::json& vocab = Required(json, "vocab");
  // Files of before 2020 do not name the type.
  const bool looks_like_wordpiece = vocab.is_object() && json.contains("max_input_chars_per_word");
  const char* const guess = looks_like_wordpiece ? "WordPiece" : json.contains("merges") ? "BPE" : "";
  const auto type = JsonValueOr<std::string>(json, "type", guess);
  if (type == "WordPiece") {
    return ParseWordPiece(json);
  }
  if (type == "Unigram") {
    return ParseUnigram(json);
  }
  if (type == "BPE") {
    return ParseBpe(json);
  }
  FailUnsupported("model", type);
}

std::vector<AddedToken> ParseAddedTokens(const nlohmann::json& json) {
  std::vector<AddedToken> tokens;
  for (const nlohmann::json& item : RequiredArray(json, "added_tokens")) {
    CheckKeys(item, {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
    tokens.push_back({.content = RequiredString(item, "content"),
                      .single_word = RequiredBool(item, "single_word"),
                      .lstrip = RequiredBool(item, "lstrip"),
                      .rstrip = RequiredBool(item, "rstrip"),
                      .normalized = RequiredBool(item, "normalized")});
  }
  return tokens;
}

void CheckTruncation(const nlohmann::json& json) {
  if (json.contains("truncation") && json["truncation"].is_object() &&
      JsonValueOr<std::string>(json["truncation"], "direction", "Right") != "Right") {
    FailUnsupported("truncation direction", "Left");
  }
}

template <typename Parse>
auto InPart(const nlohmann::json& json, std::string_view part, const Parse& parse) {
  const auto found = json.find(part);
  const nlohmann::json value = found == json.end() ? nlohmann::json() : *found;
  return WithFrame([&] { return "'" + std::string(part) + "'"; }, [&] { return parse(value); });
}

}  // namespace

Vocabulary ParseVocabularyObject(const nlohmann::json& tokens) {
  if (!tokens.is_object()) {
    Fail(ErrorCode::kInvalidFile, "'vocab': expected an object, got ", tokens.type_name());
  }
  Vocabulary vocabulary;
  vocabulary.reserve(tokens.size());
  for (const auto& [token, id] : tokens.items()) {
    vocabulary.emplace_back(token, RequiredId(tokens, token));
  }
  return vocabulary;
}

void AppendMerge(std::string_view text, BpeMerges* merges) {
  if (text.starts_with("#version")) {
    return;
  }
  const std::size_t space = text.find(' ');
  if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
    Fail(ErrorCode::kInvalidFile, "merge ", merges->size() + 1,
         ": expected two tokens with a space between them, got '", text.substr(0, 80), "'");
  }
  merges->emplace_back(text.substr(0, space), text.substr(space + 1));
}

TokenizerParts ParseTokenizer(std::string_view tokenizer_json) {
  DocumentBuilder builder;
  nlohmann::json::sax_parse(tokenizer_json, &builder);
  const nlohmann::json json = builder.Take();
  if (!json.is_object()) {
    Fail(ErrorCode::kInvalidFile, "expected a JSON object, got ", json.type_name());
  }
  CheckKeys(json, {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
                   "decoder", "model"});
  const auto version = JsonValueOr<std::string>(json, "version", "1.0");
  if (version != "1.0") {
    FailUnsupported("tokenizer.json version", version);
  }
  CheckTruncation(json);
  TokenizerParts parts;
  parts.normalizer = InPart(json, "normalizer", [&](const nlohmann::json& part) {
    if (!part.is_null() && TypeOf(part) == "BertNormalizer") {
      parts.bert = ParseBertNormalizer(part);
    }
    return MakeNormalizer(part);
  });
  parts.pre_tokenizer = InPart(json, "pre_tokenizer", [&](const nlohmann::json& part) {
    if (!part.is_null() && TypeOf(part) == "ByteLevel") {
      parts.byte_level = ParseByteLevel(part);
    }
    return MakePreTokenizer(part, /*has_normalizer=*/parts.normalizer != nullptr);
  });
  parts.post_processor = InPart(json, "post_processor", MakePostProcessor);
  parts.model = WithFrame([] { return "'model'"; }, [&] { return ParseModel(Required(json, "model")); });
  parts.added.emplace(json.contains("added_tokens") ? ParseAddedTokens(json) : std::vector<AddedToken>(), *parts.model,
                      parts.normalizer.get());
  return parts;
}

}  // namespace laconic::text
