#include <algorithm>

#include "laconic/error.h"
#include "text/model.h"
#include "text/unicode.h"

namespace laconic::text {
namespace {

DoubleArray MakeTrie(const Vocabulary& vocabulary) {
  return DoubleArray(std::vector<std::pair<std::string_view, std::int32_t>>(vocabulary.begin(), vocabulary.end()));
}

std::int64_t CountChars(std::string_view text) {
  return std::ranges::count_if(text, [](char byte) { return (byte & 0xC0) != 0x80; });
}

}  // namespace

WordPiece::WordPiece(const Vocabulary& vocabulary, const Options& options)
    : trie_(MakeTrie(vocabulary)),
      continuing_(trie_.Walk(DoubleArray::kRoot, options.continuing_prefix)),
      unknown_id_(trie_.Find(options.unknown_token)),
      max_chars_(options.max_chars_per_word),
      largest_id_(-1) {
  if (unknown_id_ < 0) {
    Fail(ErrorCode::kInvalidFile, "the unknown token '", options.unknown_token, "' is not in the vocabulary");
  }
  for (const auto& [token, id] : vocabulary) {
    largest_id_ = std::max(largest_id_, id);
  }
}

void WordPiece::Tokenize(std::string_view piece, ModelScratch* /*scratch*/, std::vector<std::int32_t>* ids) const {
  if (static_cast<std::int64_t>(piece.size()) > max_chars_ && CountChars(piece) > max_chars_) {
    ids->push_back(unknown_id_);
    return;
  }
  const std::size_t num_before = ids->size();
  std::size_t begin = 0;
  while (begin < piece.size()) {
    DoubleArray::Node node = begin == 0 ? DoubleArray::kRoot : continuing_;
    std::int32_t longest_id = -1;
    std::size_t longest_end = begin;
    for (std::size_t at = begin; at < piece.size() && node != DoubleArray::kNowhere; ++at) {
      node = trie_.Step(node, piece[at]);
      const bool may_end = node != DoubleArray::kNowhere && EndsCharacter(piece, at);
      const std::int32_t id = may_end ? trie_.ValueAt(node) : -1;
      if (id >= 0) {
        longest_id = id;
        longest_end = at + 1;
      }
    }
    if (longest_id < 0) {
      ids->resize(num_before);
      ids->push_back(unknown_id_);
      return;
    }
    ids->push_back(longest_id);
    begin = longest_end;
  }
}

}  // namespace laconic::text
