#include <algorithm>
#include <charconv>
#include <map>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "laconic/error.h"
#include "text/json_options.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

namespace laconic::text {
namespace {

constexpr std::int64_t kMaxFileBytes = std::int64_t{256} << 20;
constexpr std::string_view kTokenizerJson = "tokenizer.json";
constexpr std::string_view kVocabulary = "vocab.txt";
constexpr std::string_view kBpeVocabulary = "vocab.json";
constexpr std::string_view kBpeMerges = "merges.txt";
constexpr std::string_view kConfig = "tokenizer_config.json";
constexpr std::string_view kSpecialTokens = "special_tokens_map.json";
constexpr std::string_view kAddedTokens = "added_tokens.json";

// In the order in which the transformers library adds those that the vocabulary lacks.
constexpr std::string_view kSpecialTokenNames[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                   "pad_token", "cls_token", "mask_token"};

bool IsThere(const std::filesystem::path& directory, std::string_view name) {
  std::error_code error;
  return std::filesystem::exists(directory / name, error);
}

// An object; empty where there is no file.
nlohmann::json ReadIfThere(const std::filesystem::path& directory, std::string_view name) {
  nlohmann::json json = nlohmann::json::object();
  if (IsThere(directory, name)) {
    json = ReadJsonFile(directory / name);
  }
  if (!json.is_object()) {
    Fail(ErrorCode::kInvalidFile, "'", name, "': expected a JSON object, got ", json.type_name());
  }
  return json;
}

std::int64_t ParseId(std::string_view text) {
  std::int64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size()) {
    Fail(ErrorCode::kInvalidFile, "'added_tokens_decoder': expected ids as keys, got '", text, "'");
  }
  return id;
}

// Line breaks and white space at the ends of lines are not part of a token.
Vocabulary ParseVocabulary(std::string_view file) {
  if (const std::size_t invalid = FindInvalidUtf8(file); invalid != std::string_view::npos) {
    Fail(ErrorCode::kInvalidFile, "not UTF-8 at byte ", invalid);
  }
  Vocabulary vocabulary;
  for (std::size_t begin = 0; begin < file.size();) {
    const std::size_t end = std::min(file.find('\n', begin), file.size());
    const std::string_view line = file.substr(begin, end - begin);
    std::size_t kept = 0;
    for (std::size_t at = 0; at < line.size();) {
      if ((Properties()[DecodeNext(line, &at)] & kWhiteSpace) == 0) {
        kept = at;
      }
    }
    vocabulary.emplace_back(line.substr(0, kept), static_cast<std::int32_t>(vocabulary.size()));
    begin = end + 1;
  }
  return vocabulary;
}

// A token as the configuration files write it: its text, or an object with flags.
AddedToken ParseToken(const nlohmann::json& json, bool special) {
  if (json.is_string()) {
    return {.content = json.get<std::string>()};
  }
  special = special || JsonValueOr<bool>(json, "special", false);
  return {.content = RequiredString(json, "content"),
          .single_word = JsonValueOr<bool>(json, "single_word", false),
          .lstrip = JsonValueOr<bool>(json, "lstrip", false),
          .rstrip = JsonValueOr<bool>(json, "rstrip", false),
          .normalized = JsonValueOr<bool>(json, "normalized", !special)};
}

// What tokenizers of one kind have in common.
struct Family {
  std::vector<std::string_view> classes;                 // as tokenizer_config.json calls them
  std::map<std::string_view, std::string_view> special;  // tokens where no file names others
};

const Family& BertFamily() {
  static const Family family = {{"BertTokenizer", "BertTokenizerFast", "ElectraTokenizer", "ElectraTokenizerFast",
                                 "DistilBertTokenizer", "DistilBertTokenizerFast"},
                                {{"unk_token", "[UNK]"},
                                 {"sep_token", "[SEP]"},
                                 {"pad_token", "[PAD]"},
                                 {"cls_token", "[CLS]"},
                                 {"mask_token", "[MASK]"}}};
  return family;
}

const Family& RobertaFamily() {
  static const Family family = {{"RobertaTokenizer", "RobertaTokenizerFast"},
                                {{"bos_token", "<s>"},
                                 {"eos_token", "</s>"},
                                 {"unk_token", "<unk>"},
                                 {"sep_token", "</s>"},
                                 {"pad_token", "<pad>"},
                                 {"cls_token", "<s>"},
                                 {"mask_token", "<mask>"}}};
  return family;
}

// The settings of a directory without tokenizer.json, as the transformers library (5.23, BertTokenizer and
// RobertaTokenizer) gathers them.
class DirectoryConfig {
 public:
  DirectoryConfig(const std::filesystem::path& directory, const Family& family)
      : family_(family), config_(ReadIfThere(directory, kConfig)) {
    const auto decoder = config_.find("added_tokens_decoder");
    if (decoder == config_.end()) {  // a directory of before 2023
      config_.update(ReadIfThere(directory, kSpecialTokens));
      ReadAddedTokens(directory);
    } else {
      for (const auto& [id, token] : decoder->items()) {
        numbered_.emplace(ParseId(id), ParseToken(token, /*special=*/false));
      }
    }
    Check();
  }

  bool BoolOr(std::string_view key, bool fallback) const { return JsonValueOr<bool>(config_, key, fallback); }

  BertNormalizerOptions Normalizer() const {
    BertNormalizerOptions options;
    options.lowercase = JsonValueOr<bool>(config_, "do_lower_case", true);
    options.handle_chinese_chars = JsonValueOr<bool>(config_, "tokenize_chinese_chars", true);
    if (config_.contains("strip_accents") && !config_["strip_accents"].is_null()) {
      options.strip_accents = RequiredBool(config_, "strip_accents");
    }
    return options;
  }

  // The special token that `key` names. Precondition: the family has it.
  std::string NameOf(std::string_view key) const {
    const auto found = config_.find(key);
    return found == config_.end() || found->is_null() ? std::string(family_.special.at(key))
                                                      : ParseToken(*found, true).content;
  }

  // All tokens to look for in texts, in the order in which missing ones get their ids.
  std::vector<AddedToken> AddedTokens() const {
    std::vector<AddedToken> tokens;
    const auto add = [&](const AddedToken& token) {
      if (std::ranges::find(tokens, token.content, &AddedToken::content) == tokens.end()) {
        tokens.push_back(token);
      }
    };
    for (const auto& [id, token] : numbered_) {
      tokens.push_back(token);
    }
    for (const std::string_view key : kSpecialTokenNames) {
      const auto found = config_.find(key);
      if (found != config_.end() && !found->is_null()) {
        add(ParseToken(*found, /*special=*/true));
      } else if (family_.special.contains(key) && found == config_.end()) {
        add({.content = std::string(family_.special.at(key))});
      }
    }
    for (const std::string_view key : {"additional_special_tokens", "extra_special_tokens"}) {
      if (config_.contains(key) && !config_[key].is_null()) {
        for (const nlohmann::json& token : RequiredArray(config_, key)) {
          add(ParseToken(token, /*special=*/true));
        }
      }
    }
    return tokens;
  }

 private:
  void ReadAddedTokens(const std::filesystem::path& directory) {
    const nlohmann::json added = ReadIfThere(directory, kAddedTokens);
    for (const auto& [content, id] : added.items()) {
      numbered_.emplace(RequiredId(added, content), AddedToken{.content = content, .normalized = !IsSpecial(content)});
    }
  }

  void Check() const {
    const auto name = JsonValueOr<std::string>(config_, "tokenizer_class", std::string(family_.classes[0]));
    if (std::ranges::find(family_.classes, name) == family_.classes.end()) {
      FailUnsupported("tokenizer_class", name);
    }
    // The fast tokenizers ignore both, the first ones obeyed them.
    if (!JsonValueOr<bool>(config_, "do_basic_tokenize", true)) {
      FailUnsupported("do_basic_tokenize", "false");
    }
    for (const auto& [key, value] : config_.items()) {
      const bool token = key.ends_with("_token") && (value.is_string() || value.is_object());
      if (token && std::ranges::find(kSpecialTokenNames, key) == std::end(kSpecialTokenNames)) {
        FailUnsupported("special token", key);
      }
    }
    if (config_.contains("never_split") && !config_["never_split"].empty()) {
      FailUnsupported("never_split", config_["never_split"].dump());
    }
  }

  bool IsSpecial(std::string_view content) const {
    return std::ranges::any_of(kSpecialTokenNames, [&](std::string_view key) {
      return family_.special.contains(key) && NameOf(key) == content;
    });
  }

  const Family& family_;
  nlohmann::json config_;
  std::map<std::int64_t, AddedToken> numbered_;
};

std::int32_t IdOf(std::string_view key, const DirectoryConfig& config, const TokenizerParts& parts) {
  return parts.added->Find(config.NameOf(key), *parts.model);
}

TokenizerParts ReadBert(const std::filesystem::path& directory) {
  const DirectoryConfig config(directory, BertFamily());
  TokenizerParts parts;
  parts.normalizer = MakeBertNormalizer(config.Normalizer());
  parts.pre_tokenizer = MakeBertPreTokenizer();
  const std::filesystem::path path = directory / kVocabulary;
  parts.model = WithFrame([&] { return "file '" + path.string() + "'"; },
                          [&] {
                            const WordPiece::Options options{.unknown_token = config.NameOf("unk_token")};
                            return std::make_unique<WordPiece>(ParseVocabulary(ReadFile(path, kMaxFileBytes)), options);
                          });
  parts.added.emplace(config.AddedTokens(), *parts.model, parts.normalizer.get());
  parts.post_processor = MakeBertPostProcessor(IdOf("cls_token", config, parts), IdOf("sep_token", config, parts));
  return parts;
}

Vocabulary ReadBpeVocabulary(const std::filesystem::path& path) {
  return WithFrame([&] { return "file '" + path.string() + "'"; },
                   [&] { return ParseVocabularyObject(ParseJson(ReadFile(path, kMaxFileBytes))); });
}

// A merge a line.
BpeMerges ParseMerges(std::string_view file) {
  if (const std::size_t invalid = FindInvalidUtf8(file); invalid != std::string_view::npos) {
    Fail(ErrorCode::kInvalidFile, "not UTF-8 at byte ", invalid);
  }
  BpeMerges merges;
  for (std::size_t begin = 0; begin < file.size();) {
    const std::size_t end = std::min(file.find('\n', begin), file.size());
    std::string_view line = file.substr(begin, end - begin);
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
    }
    AppendMerge(line, &merges);
    begin = end + 1;
  }
  return merges;
}

TokenizerParts ReadRoberta(const std::filesystem::path& directory) {
  const DirectoryConfig config(directory, RobertaFamily());
  TokenizerParts parts;
  parts.pre_tokenizer = MakeByteLevelPreTokenizer({.add_prefix_space = config.BoolOr("add_prefix_space", false)});
  const Vocabulary vocabulary = ReadBpeVocabulary(directory / kBpeVocabulary);
  const std::filesystem::path path = directory / kBpeMerges;
  parts.model = WithFrame(
      [&] { return "file '" + path.string() + "'"; },
      [&] { return std::make_unique<Bpe>(vocabulary, ParseMerges(ReadFile(path, kMaxFileBytes)), Bpe::Options()); });
  parts.added.emplace(config.AddedTokens(), *parts.model, parts.normalizer.get());
  parts.post_processor = MakeRobertaPostProcessor(IdOf("cls_token", config, parts), IdOf("sep_token", config, parts));
  return parts;
}

// The transformers library lets tokenizer_config.json override a BertNormalizer and a ByteLevel pre-tokenizer, the
// tokenizers library does not know of it.
void CheckAgreement(const TokenizerParts& parts, const nlohmann::json& config) {
  const auto check = [&](const char* key, bool value, std::string_view part) {
    if (JsonValueOr<bool>(config, key, value) != value) {
      Fail(ErrorCode::kUnsupported, "'", key, "' of ", kConfig, " contradicts the ", part, " of ", kTokenizerJson);
    }
  };
  if (parts.bert.has_value()) {
    check("do_lower_case", parts.bert->lowercase, "normalizer");
    check("tokenize_chinese_chars", parts.bert->handle_chinese_chars, "normalizer");
    check("strip_accents", parts.bert->strip_accents.value_or(parts.bert->lowercase), "normalizer");
  }
  if (parts.byte_level.has_value()) {
    check("add_prefix_space", parts.byte_level->add_prefix_space, "pre-tokenizer");
  }
}

void ReadConfig(const std::filesystem::path& directory, TokenizerParts* parts) {
  const nlohmann::json config = ReadIfThere(directory, kConfig);
  CheckAgreement(*parts, config);
  parts->model_max_length = JsonValueOr<std::int64_t>(config, "model_max_length", INT64_MAX);
  if (JsonValueOr<std::string>(config, "truncation_side", "right") != "right") {
    FailUnsupported("truncation_side", "left");
  }
  if (JsonValueOr<bool>(config, "split_special_tokens", false)) {
    FailUnsupported("split_special_tokens", "true");
  }
}

// A kind of directory: the files that it must have, and how they are read.
struct Layout {
  std::vector<std::string_view> files;
  TokenizerParts (*read)(const std::filesystem::path& directory);
};

// In order of preference. Errors: kUnsupported for SentencePiece's own file; kNotFound.
const Layout& FindLayout(const std::filesystem::path& directory) {
  static const std::vector<Layout> layouts = {
      {{kTokenizerJson},
       [](const std::filesystem::path& folder) {
         const std::filesystem::path path = folder / kTokenizerJson;
         return WithFrame([&] { return "file '" + path.string() + "'"; },
                          [&] { return ParseTokenizer(ReadFile(path, kMaxFileBytes)); });
       }},
      {{kVocabulary}, ReadBert},
      {{kBpeVocabulary, kBpeMerges}, ReadRoberta},
  };
  for (const Layout& layout : layouts) {
    if (std::ranges::all_of(layout.files, [&](std::string_view name) { return IsThere(directory, name); })) {
      return layout;
    }
  }
  for (const std::string_view name : {"sentencepiece.bpe.model", "spiece.model", "tokenizer.model"}) {
    if (IsThere(directory, name)) {
      Fail(ErrorCode::kUnsupported, "'", (directory / name).string(), "' is not read; the same tokenizer is needed as ",
           kTokenizerJson, ", which AutoTokenizer.from_pretrained(…).save_pretrained(…) of transformers writes");
    }
  }
  Fail(ErrorCode::kNotFound, "neither ", kTokenizerJson, " nor ", kVocabulary, " nor ", kBpeVocabulary, " with ",
       kBpeMerges, " in '", directory.string(), "'");
}

}  // namespace

TokenizerParts ReadTokenizer(const std::filesystem::path& directory) {
  const Layout& layout = FindLayout(directory);
  const auto make = [&] {
    TokenizerParts parts = layout.read(directory);
    ReadConfig(directory, &parts);
    std::vector<std::string_view> names = layout.files;
    names.insert(names.end(), {kConfig, kSpecialTokens, kAddedTokens});
    for (const std::string_view name : names) {
      if (IsThere(directory, name)) {
        parts.file_names.emplace_back(name);
      }
    }
    return parts;
  };
  return WithFrame([&] { return "the tokenizer of '" + directory.string() + "'"; }, make);
}

}  // namespace laconic::text
