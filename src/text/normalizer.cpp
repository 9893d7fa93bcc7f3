#include "text/normalizer.h"

#include <algorithm>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "laconic/error.h"
#include "text/byte_level.h"
#include "text/charsmap.h"
#include "text/json_options.h"
#include "text/normalization_form.h"
#include "text/replace_pattern.h"
#include "text/unicode.h"

namespace laconic::text {
namespace {

class Sequence : public Normalizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Normalizer>> steps) : steps_(std::move(steps)) {}

  void Append(std::string_view text, std::string* out) const override {
    if (steps_.empty()) {
      out->append(text);
    }
    std::string buffers[2];
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      const bool last = i + 1 == steps_.size();
      std::string* const next = last ? out : &buffers[i % 2];
      if (!last) {
        next->clear();
        next->reserve(text.size());
      }
      steps_[i]->Append(text, next);
      text = *next;
    }
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

class Form : public Normalizer {
 public:
  explicit Form(NormalizationForm form) : form_(form) {}
  void Append(std::string_view text, std::string* out) const override { AppendNormalized(form_, text, out); }

 private:
  NormalizationForm form_;
};

// Normalizers that look at one character at a time.
template <typename AppendCharacter>
class PerCharacter : public Normalizer {
 public:
  explicit PerCharacter(AppendCharacter append) : append_(append) {}
  void Append(std::string_view text, std::string* out) const override {
    for (std::size_t at = 0; at < text.size();) {
      append_(DecodeNext(text, &at), out);
    }
  }

 private:
  AppendCharacter append_;
};

template <typename AppendCharacter>
std::unique_ptr<Normalizer> MakePerCharacter(AppendCharacter append) {
  return std::make_unique<PerCharacter<AppendCharacter>>(append);
}

void AppendWithoutMarks(char32_t c, std::string* out) {
  if ((Properties()[c] & kCombiningMark) == 0) {
    AppendUtf8(c, out);
  }
}

// Source: SentencePiece's nmt rules as Hugging Face's Nmt has them (src/normalizers/unicode.rs).
void AppendNmt(char32_t c, std::string* out) {
  const bool dropped =
      (c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
  const bool space = c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 || (c >= 0x200B && c <= 0x200F) ||
                     c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
  if (!dropped) {
    AppendUtf8(space ? U' ' : c, out);
  }
}

class ByteLevel : public Normalizer {
 public:
  void Append(std::string_view text, std::string* out) const override { AppendByteCharacters(text, out); }
};

class Strip : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}

  void Append(std::string_view text, std::string* out) const override {
    std::size_t begin = 0;
    std::size_t end = text.size();
    while (left_ && HasAt(text, begin, kWhiteSpace)) {
      DecodeNext(text, &begin);
    }
    while (right_ && end > begin && HasBefore(text, end, kWhiteSpace)) {
      end = CharBefore(text, end);
    }
    out->append(text, begin, end - begin);
  }

 private:
  bool left_;
  bool right_;
};

class Replace : public Normalizer {
 public:
  Replace(ReplacePattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void Append(std::string_view text, std::string* out) const override { pattern_.AppendReplaced(text, content_, out); }

 private:
  ReplacePattern pattern_;
  std::string content_;
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  void Append(std::string_view text, std::string* out) const override {
    if (!text.empty()) {
      out->append(prefix_).append(text);
    }
  }

 private:
  std::string prefix_;
};

class Precompiled : public Normalizer {
 public:
  explicit Precompiled(std::string_view bytes) : charsmap_(bytes) {}
  void Append(std::string_view text, std::string* out) const override { charsmap_.AppendMapped(text, out); }

 private:
  Charsmap charsmap_;
};

std::unique_ptr<Normalizer> ParseReplace(const nlohmann::json& json) {
  CheckKeys(json, {"pattern", "content"});
  const nlohmann::json& pattern = Required(json, "pattern");
  const bool is_regex = pattern.is_object() && pattern.contains("Regex");
  return std::make_unique<Replace>(is_regex ? ReplacePattern::FromRegex(RequiredString(pattern, "Regex"))
                                            : ReplacePattern::FromString(RequiredString(pattern, "String")),
                                   RequiredString(json, "content"));
}

std::unique_ptr<Normalizer> ParseSequence(const nlohmann::json& json) {
  CheckKeys(json, {"normalizers"});
  std::vector<std::unique_ptr<Normalizer>> steps;
  for (const nlohmann::json& step : RequiredArray(json, "normalizers")) {
    if (step.is_null()) {
      Fail(ErrorCode::kInvalidFile, "'normalizers': expected objects, got null");
    }
    steps.push_back(MakeNormalizer(step));
  }
  return std::make_unique<Sequence>(std::move(steps));
}

std::unique_ptr<Normalizer> ParseOptionless(const nlohmann::json& json, const std::string& type) {
  CheckKeys(json, {});
  if (type == "NFD") {
    return std::make_unique<Form>(NormalizationForm::kNfd);
  }
  if (type == "NFC") {
    return std::make_unique<Form>(NormalizationForm::kNfc);
  }
  if (type == "NFKD") {
    return std::make_unique<Form>(NormalizationForm::kNfkd);
  }
  if (type == "NFKC") {
    return std::make_unique<Form>(NormalizationForm::kNfkc);
  }
  if (type == "ByteLevel") {
    return std::make_unique<ByteLevel>();
  }
  if (type == "Lowercase") {
    return MakePerCharacter(AppendLowercase);
  }
  if (type == "StripAccents") {
    return MakePerCharacter(AppendWithoutMarks);
  }
  return MakePerCharacter(AppendNmt);
}

}  // namespace

BertNormalizerOptions ParseBertNormalizer(const nlohmann::json& json) {
  CheckKeys(json, {"clean_text", "handle_chinese_chars", "strip_accents", "lowercase"});
  BertNormalizerOptions options;
  options.clean_text = RequiredBool(json, "clean_text");
  options.handle_chinese_chars = RequiredBool(json, "handle_chinese_chars");
  options.lowercase = RequiredBool(json, "lowercase");
  if (json.contains("strip_accents") && !json["strip_accents"].is_null()) {
    options.strip_accents = RequiredBool(json, "strip_accents");
  }
  return options;
}

std::unique_ptr<Normalizer> MakeNormalizer(const nlohmann::json& json) {
  if (json.is_null()) {
    return nullptr;
  }
  const std::string type = TypeOf(json);
  if (type == "BertNormalizer") {
    return MakeBertNormalizer(ParseBertNormalizer(json));
  }
  if (type == "Sequence") {
    return ParseSequence(json);
  }
  if (type == "Replace") {
    return ParseReplace(json);
  }
  if (type == "Strip") {
    CheckKeys(json, {"strip_left", "strip_right"});
    return std::make_unique<Strip>(RequiredBool(json, "strip_left"), RequiredBool(json, "strip_right"));
  }
  if (type == "Prepend") {
    CheckKeys(json, {"prepend"});
    return std::make_unique<Prepend>(RequiredString(json, "prepend"));
  }
  if (type == "Precompiled") {
    CheckKeys(json, {"precompiled_charsmap"});
    return std::make_unique<Precompiled>(DecodeBase64(RequiredString(json, "precompiled_charsmap")));
  }
  constexpr std::string_view kOptionless[] = {"NFD",       "NFC",          "NFKD", "NFKC",
                                              "Lowercase", "StripAccents", "Nmt",  "ByteLevel"};
  if (std::ranges::find(kOptionless, type) == std::end(kOptionless)) {
    FailUnsupported("normalizer", type);
  }
  return ParseOptionless(json, type);
}

}  // namespace laconic::text
