#include "text/pre_tokenizer.h"

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/utf8.h"
#include "laconic/error.h"
#include "text/byte_level.h"
#include "text/json_options.h"
#include "text/unicode.h"

namespace laconic::text {
namespace {

// Runs of characters of one class, by property bits; a class says what becomes of a run.
enum class RunRule { kDrop, kKeepWhole, kKeepEach };

// `rule_of(properties)` gives a class number, `rules[class]` its rule. Neighbours of one class make one run.
template <typename ClassOf>
bool SplitRuns(const Piece& piece, const PieceSink& sink, const ClassOf& class_of, const RunRule* rules) {
  const PropertyTable& table = Properties();
  const std::string_view text = piece.text;
  const auto emit = [&](std::size_t begin, std::size_t end) {
    return begin == end || sink({text.substr(begin, end - begin), piece.begins_input && begin == 0});
  };
  std::size_t run = 0;
  int run_class = -1;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t here = at;
    const int here_class = class_of(table[DecodeNext(text, &at)]);
    if (here_class == run_class && rules[run_class] != RunRule::kKeepEach) {
      continue;
    }
    if (run_class >= 0 && rules[run_class] != RunRule::kDrop && !emit(run, here)) {
      return false;
    }
    run = here;
    run_class = here_class;
  }
  return run_class < 0 || rules[run_class] == RunRule::kDrop || emit(run, text.size());
}

class Bert : public PreTokenizer {
 public:
  bool Split(const Piece& piece, const PieceSink& sink) const override {
    static constexpr RunRule kRules[] = {RunRule::kDrop, RunRule::kKeepEach, RunRule::kKeepWhole};
    const auto class_of = [](std::uint32_t properties) {
      return (properties & kWhiteSpace) != 0 ? 0 : (properties & kPunctuation) != 0 ? 1 : 2;
    };
    return SplitRuns(piece, sink, class_of, kRules);
  }
};

// The expression \w+|[^\w\s]+.
class Whitespace : public PreTokenizer {
 public:
  bool Split(const Piece& piece, const PieceSink& sink) const override {
    static constexpr RunRule kRules[] = {RunRule::kDrop, RunRule::kKeepWhole, RunRule::kKeepWhole};
    const auto class_of = [](std::uint32_t properties) {
      return (properties & kWord) != 0 ? 1 : (properties & kWhiteSpace) != 0 ? 0 : 2;
    };
    return SplitRuns(piece, sink, class_of, kRules);
  }
};

class WhitespaceSplit : public PreTokenizer {
 public:
  bool Split(const Piece& piece, const PieceSink& sink) const override {
    static constexpr RunRule kRules[] = {RunRule::kDrop, RunRule::kKeepWhole};
    const auto class_of = [](std::uint32_t properties) { return (properties & kWhiteSpace) != 0 ? 0 : 1; };
    return SplitRuns(piece, sink, class_of, kRules);
  }
};

class Punctuation : public PreTokenizer {
 public:
  explicit Punctuation(RunRule rule) : rules_{rule, RunRule::kKeepWhole} {}
  bool Split(const Piece& piece, const PieceSink& sink) const override {
    const auto class_of = [](std::uint32_t properties) { return (properties & kPunctuation) != 0 ? 0 : 1; };
    return SplitRuns(piece, sink, class_of, rules_);
  }

 private:
  RunRule rules_[2];
};

class Metaspace : public PreTokenizer {
 public:
  enum class Prepend { kAlways, kFirst, kNever };
  Metaspace(std::string replacement, Prepend prepend, bool split)
      : replacement_(std::move(replacement)), prepend_(prepend), split_(split) {}

  bool Split(const Piece& piece, const PieceSink& sink) const override {
    std::string text;
    text.reserve(piece.text.size() + piece.text.size() / 4 + replacement_.size());
    const bool prepend = prepend_ == Prepend::kAlways || (prepend_ == Prepend::kFirst && piece.begins_input);
    if (prepend && piece.text.front() != ' ' && !piece.text.starts_with(replacement_)) {
      text = replacement_;
    }
    for (std::size_t begin = 0;;) {
      const std::size_t space = piece.text.find(' ', begin);
      text.append(piece.text, begin, space - begin);
      if (space == std::string_view::npos) {
        break;
      }
      text.append(replacement_);
      begin = space + 1;
    }
    return split_ ? SplitBeforeReplacements(text, piece.begins_input, sink) : sink({text, piece.begins_input});
  }

 private:
  bool SplitBeforeReplacements(std::string_view text, bool begins_input, const PieceSink& sink) const {
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find(replacement_, begin + 1), text.size());
      if (!sink({text.substr(begin, end - begin), begins_input && begin == 0})) {
        return false;
      }
      begin = end;
    }
    return true;
  }

  std::string replacement_;  // one character
  Prepend prepend_;
  bool split_;
};

class ByteLevel : public PreTokenizer {
 public:
  explicit ByteLevel(const ByteLevelOptions& options) : options_(options) {}

  bool Split(const Piece& piece, const PieceSink& sink) const override {
    std::string spaced;
    std::string_view text = piece.text;
    if (options_.add_prefix_space && !text.starts_with(' ')) {
      text = spaced.append(" ").append(text);
    }
    std::string word;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = options_.use_regex ? ByteLevelWordEnd(text, begin) : text.size();
      word.clear();
      AppendByteCharacters(text.substr(begin, end - begin), &word);
      if (!sink({word, piece.begins_input && begin == 0})) {
        return false;
      }
      begin = end;
    }
    return true;
  }

 private:
  ByteLevelOptions options_;
};

class Sequence : public PreTokenizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<PreTokenizer>> steps) : steps_(std::move(steps)) {}
  bool Split(const Piece& piece, const PieceSink& sink) const override { return SplitFrom(0, piece, sink); }

 private:
  bool SplitFrom(std::size_t step, const Piece& piece, const PieceSink& sink) const {
    if (step == steps_.size()) {
      return sink(piece);
    }
    return steps_[step]->Split(piece, [&](const Piece& part) { return SplitFrom(step + 1, part, sink); });
  }

  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

std::unique_ptr<PreTokenizer> ParsePunctuation(const nlohmann::json& json) {
  CheckKeys(json, {"behavior"});
  const auto behavior = JsonValueOr<std::string>(json, "behavior", "Isolated");
  if (behavior == "Isolated") {
    return std::make_unique<Punctuation>(RunRule::kKeepEach);
  }
  if (behavior == "Contiguous") {
    return std::make_unique<Punctuation>(RunRule::kKeepWhole);
  }
  if (behavior == "Removed") {
    return std::make_unique<Punctuation>(RunRule::kDrop);
  }
  FailUnsupported("Punctuation behavior", behavior);
}

Metaspace::Prepend ParsePrepend(const nlohmann::json& json, bool has_normalizer) {
  const auto scheme = JsonValueOr<std::string>(json, "prepend_scheme", "always");
  const bool add_prefix_space = JsonValueOr<bool>(json, "add_prefix_space", true);
  if (scheme == "never") {
    return Metaspace::Prepend::kNever;
  }
  if (!add_prefix_space) {
    Fail(ErrorCode::kInvalidFile, "'add_prefix_space' is false but 'prepend_scheme' is '", scheme, "'");
  }
  if (scheme == "always") {
    return Metaspace::Prepend::kAlways;
  }
  if (scheme != "first" || has_normalizer) {
    FailUnsupported(has_normalizer ? "after a normalizer, Metaspace prepend_scheme" : "Metaspace prepend_scheme",
                    scheme);
  }
  return Metaspace::Prepend::kFirst;
}

std::unique_ptr<PreTokenizer> ParseMetaspace(const nlohmann::json& json, bool has_normalizer) {
  CheckKeys(json, {"replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep"});
  const std::string replacement = RequiredString(json, "replacement");
  std::size_t end = 0;
  if (!replacement.empty()) {
    DecodeNext(replacement, &end);
  }
  if (end == 0 || end != replacement.size()) {
    Fail(ErrorCode::kInvalidFile, "'replacement': expected one character, got '", replacement, "'");
  }
  return std::make_unique<Metaspace>(replacement, ParsePrepend(json, has_normalizer),
                                     JsonValueOr<bool>(json, "split", true));
}

std::unique_ptr<PreTokenizer> ParseSequence(const nlohmann::json& json, bool has_normalizer) {
  CheckKeys(json, {"pretokenizers"});
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  for (const nlohmann::json& step : RequiredArray(json, "pretokenizers")) {
    if (step.is_null()) {
      Fail(ErrorCode::kInvalidFile, "'pretokenizers': expected objects, got null");
    }
    steps.push_back(MakePreTokenizer(step, has_normalizer));
  }
  return std::make_unique<Sequence>(std::move(steps));
}

}  // namespace

std::unique_ptr<PreTokenizer> MakeBertPreTokenizer() { return std::make_unique<Bert>(); }

std::unique_ptr<PreTokenizer> MakeByteLevelPreTokenizer(const ByteLevelOptions& options) {
  return std::make_unique<ByteLevel>(options);
}

ByteLevelOptions ParseByteLevel(const nlohmann::json& json) {
  CheckKeys(json, {"add_prefix_space", "trim_offsets", "use_regex"});
  return {RequiredBool(json, "add_prefix_space"), JsonValueOr<bool>(json, "use_regex", true)};
}

std::unique_ptr<PreTokenizer> MakePreTokenizer(const nlohmann::json& json, bool has_normalizer) {
  if (json.is_null()) {
    return nullptr;
  }
  const std::string type = TypeOf(json);
  if (type == "Sequence") {
    return ParseSequence(json, has_normalizer);
  }
  if (type == "ByteLevel") {
    return MakeByteLevelPreTokenizer(ParseByteLevel(json));
  }
  if (type == "Metaspace") {
    return ParseMetaspace(json, has_normalizer);
  }
  if (type == "Punctuation") {
    return ParsePunctuation(json);
  }
  if (type != "BertPreTokenizer" && type != "Whitespace" && type != "WhitespaceSplit") {
    FailUnsupported("pre-tokenizer", type);
  }
  CheckKeys(json, {});
  if (type == "BertPreTokenizer") {
    return MakeBertPreTokenizer();
  }
  if (type == "Whitespace") {
    return std::make_unique<Whitespace>();
  }
  return std::make_unique<WhitespaceSplit>();
}

}  // namespace laconic::text
