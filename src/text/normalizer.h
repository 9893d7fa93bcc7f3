// The part of a tokenizer that rewrites text before it is cut: Hugging Face's normalizers, by their names there.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace laconic::text {

// Immutable.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // Appends the rewritten text. Precondition: `text` is valid UTF-8.
  virtual void Append(std::string_view text, std::string* out) const = 0;
};

struct BertNormalizerOptions {
  bool clean_text = true;
  bool handle_chinese_chars = true;
  std::optional<bool> strip_accents;  // none: as `lowercase`
  bool lowercase = true;
};
std::unique_ptr<Normalizer> MakeBertNormalizer(const BertNormalizerOptions& options);

// From an object of type BertNormalizer. Errors: as MakeNormalizer.
BertNormalizerOptions ParseBertNormalizer(const nlohmann::json& json);

// From a tokenizer.json's "normalizer"; null for null. Errors: kInvalidFile; kUnsupported for what would not be
// reproduced exactly.
std::unique_ptr<Normalizer> MakeNormalizer(const nlohmann::json& json);

}  // namespace laconic::text
