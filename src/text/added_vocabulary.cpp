#include "text/added_vocabulary.h"

#include <algorithm>

#include "laconic/error.h"
#include "text/unicode.h"

namespace laconic::text {
namespace {

// Start of the character that ends at `end`. Precondition: end > 0.
std::size_t CharBefore(std::string_view text, std::size_t end) {
  do {
    --end;
  } while ((text[end] & 0xC0) == 0x80);
  return end;
}

bool HasBefore(std::string_view text, std::size_t end, std::uint32_t property) {
  if (end == 0) {
    return false;
  }
  std::size_t begin = CharBefore(text, end);
  return (Properties()[DecodeNext(text, &begin)] & property) != 0;
}

bool HasAt(std::string_view text, std::size_t at, std::uint32_t property) {
  return at < text.size() && (Properties()[DecodeNext(text, &at)] & property) != 0;
}

}  // namespace

AddedVocabulary::AddedVocabulary(const std::vector<AddedToken>& tokens, const Model& model,
                                 const Normalizer* normalizer) {
  auto next_id = static_cast<std::int32_t>(model.num_tokens());
  for (const AddedToken& token : tokens) {
    if (token.content.empty()) {
      continue;
    }
    const std::int32_t known = Find(token.content, model);
    const std::int32_t id = known >= 0 ? known : next_id++;
    id_of_[token.content] = id;
    by_id_[id] = token;
  }
  std::vector<std::pair<std::string, std::int32_t>> raw;
  std::vector<std::pair<std::string, std::int32_t>> normalized;
  for (const auto& [id, token] : by_id_) {
    std::string pattern;
    if (token.normalized && normalizer != nullptr) {
      normalizer->Append(token.content, &pattern);
    } else {
      pattern = token.content;
    }
    (token.normalized ? normalized : raw).emplace_back(std::move(pattern), id);
  }
  raw_ = MakePatterns(raw);
  normalized_ = MakePatterns(normalized);
}

AddedVocabulary::Patterns AddedVocabulary::MakePatterns(
    const std::vector<std::pair<std::string, std::int32_t>>& entries) {
  if (entries.empty()) {
    return {};
  }
  Patterns patterns{DoubleArray({entries.begin(), entries.end()})};
  const bool any_empty = std::ranges::any_of(entries, [](const auto& entry) { return entry.first.empty(); });
  if (any_empty || patterns.trie->num_keys() != static_cast<std::int64_t>(entries.size())) {
    Fail(ErrorCode::kUnsupported, "added tokens of which two are normalized to the same text, or one to nothing");
  }
  return patterns;
}

std::int32_t AddedVocabulary::Find(std::string_view token, const Model& model) const {
  const auto found = id_of_.find(token);
  return found != id_of_.end() ? found->second : model.Find(token);
}

bool AddedVocabulary::Split(const Patterns& patterns, std::string_view text, const Sink& sink) const {
  if (!patterns.trie.has_value()) {
    return text.empty() || sink(std::nullopt, text);
  }
  const DoubleArray& trie = *patterns.trie;
  std::size_t copied = 0;  // up to here the text is given to the sink
  for (std::size_t at = 0; at < text.size();) {
    std::int32_t id = -1;
    std::size_t match_end = at;
    DoubleArray::Node node = DoubleArray::kRoot;
    for (std::size_t i = at; i < text.size(); ++i) {
      node = trie.Step(node, text[i]);
      if (node == DoubleArray::kNowhere) {
        break;
      }
      const std::int32_t value = trie.ValueAt(node);
      if (value >= 0) {
        id = value;
        match_end = i + 1;
      }
    }
    if (id < 0) {
      ++at;
      continue;
    }
    std::size_t begin = at;
    std::size_t end = match_end;
    at = match_end;
    const AddedToken& token = by_id_.at(id);
    if (token.single_word && (HasBefore(text, begin, kWord) || HasAt(text, end, kWord))) {
      continue;
    }
    while (token.lstrip && HasBefore(text, begin, kWhiteSpace)) {
      begin = CharBefore(text, begin);
    }
    begin = token.lstrip ? std::max(begin, copied) : begin;
    while (token.rstrip && HasAt(text, end, kWhiteSpace)) {
      DecodeNext(text, &end);
    }
    if (copied < begin && !sink(std::nullopt, text.substr(copied, begin - copied))) {
      return false;
    }
    if (!sink(id, {})) {
      return false;
    }
    copied = end;
  }
  return copied == text.size() || sink(std::nullopt, text.substr(copied));
}

}  // namespace laconic::text
