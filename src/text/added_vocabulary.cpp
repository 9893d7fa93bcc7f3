#include "text/added_vocabulary.h"

#include <algorithm>

#include "laconic/error.h"
#include "text/unicode.h"

namespace laconic::text {
namespace {

struct Match {
  std::int32_t id = -1;  // -1: no token begins here
  std::size_t end = 0;
};

// The longest token at `at`.
Match LongestAt(const DoubleArray& trie, std::string_view text, std::size_t at) {
  Match match;
  DoubleArray::Node node = trie.Step(DoubleArray::kRoot, text[at]);
  while (node != DoubleArray::kNowhere) {
    ++at;
    if (const std::int32_t id = trie.ValueAt(node); id >= 0) {
      match = {id, at};
    }
    node = at < text.size() ? trie.Step(node, text[at]) : DoubleArray::kNowhere;
  }
  return match;
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
  Patterns patterns = {DoubleArray({entries.begin(), entries.end()})};
  const bool any_empty = std::ranges::any_of(entries, [](const auto& entry) { return entry.first.empty(); });
  if (any_empty || patterns.trie->num_keys() != static_cast<std::int64_t>(entries.size())) {
    Fail(ErrorCode::kUnsupported, "added tokens of which two are normalized to the same text, or one to nothing");
  }
  for (const auto& [pattern, id] : entries) {
    patterns.begins_token[static_cast<unsigned char>(pattern[0])] = true;
  }
  return patterns;
}

std::int32_t AddedVocabulary::Find(std::string_view token, const Model& model) const {
  const auto found = id_of_.find(token);
  return found != id_of_.end() ? found->second : model.Find(token);
}

bool AddedVocabulary::Split(const Patterns& patterns, std::string_view text, const Sink& sink) const {
  std::size_t given = 0;  // up to here the sink has the text
  for (std::size_t at = 0; patterns.trie.has_value() && at < text.size();) {
    if (!patterns.begins_token[static_cast<unsigned char>(text[at])]) {
      ++at;
      continue;
    }
    const Match match = LongestAt(*patterns.trie, text, at);
    if (match.id < 0) {
      ++at;
      continue;
    }
    std::size_t begin = at;
    std::size_t end = match.end;
    at = match.end;
    const AddedToken& token = by_id_.at(match.id);
    if (token.single_word && (HasBefore(text, begin, kWord) || HasAt(text, end, kWord))) {
      continue;
    }
    while (token.lstrip && begin > given && HasBefore(text, begin, kWhiteSpace)) {
      begin = CharBefore(text, begin);
    }
    while (token.rstrip && HasAt(text, end, kWhiteSpace)) {
      DecodeNext(text, &end);
    }
    if (token.lstrip && given >= end) {
      continue;  // the token before it has taken all of it as white space
    }
    const bool more = (begin <= given || sink(std::nullopt, text.substr(given, begin - given))) && sink(match.id, {});
    if (!more) {
      return false;
    }
    given = end;
  }
  return given == text.size() || sink(std::nullopt, text.substr(given));
}

}  // namespace laconic::text
