#include <algorithm>
#include <bit>
#include <functional>
#include <limits>
#include <tuple>

#include "laconic/error.h"
#include "text/model.h"
#include "text/unicode.h"

namespace laconic::text {
namespace {

std::vector<std::int32_t> DistinctIds(const Vocabulary& vocabulary) {
  std::vector<std::int32_t> ids;
  ids.reserve(vocabulary.size());
  for (const auto& [token, id] : vocabulary) {
    ids.push_back(id);
  }
  std::ranges::sort(ids);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());  // Clang 14 takes no std::ranges::unique of libstdc++
  return ids;
}

DoubleArray MakeTrie(const Vocabulary& vocabulary, const std::vector<std::int32_t>& ids) {
  std::vector<std::pair<std::string_view, std::int32_t>> entries;
  entries.reserve(vocabulary.size());
  for (const auto& [token, id] : vocabulary) {
    entries.emplace_back(token, static_cast<std::int32_t>(std::ranges::lower_bound(ids, id) - ids.begin()));
  }
  return DoubleArray(std::move(entries));
}

}  // namespace

Bpe::Bpe(const Vocabulary& vocabulary, const BpeMerges& merges, Options options)
    : options_(std::move(options)),
      ids_(DistinctIds(vocabulary)),
      trie_(MakeTrie(vocabulary, ids_)),
      continuing_(trie_.Walk(DoubleArray::kRoot, options_.continuing_prefix)),
      unknown_(options_.unknown_token.has_value() ? trie_.Find(*options_.unknown_token) : -1) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  for (std::size_t byte = 0; options_.byte_fallback && byte < 256; ++byte) {
    byte_tokens_.push_back(trie_.Find(std::string("<0x") + kDigits[byte / 16] + kDigits[byte % 16] + ">"));
  }
  ReadMerges(merges);
}

void Bpe::ReadMerges(const BpeMerges& merges) {
  merged_.reserve(merges.size());
  std::vector<Merge> rows;
  rows.reserve(merges.size());
  const std::size_t prefix = options_.continuing_prefix.size();
  for (const auto& pair : merges) {
    const auto& left = pair.first;  // no structured binding: Clang 14 captures none
    const auto& right = pair.second;
    const auto rank = static_cast<std::int32_t>(merged_.size());
    const auto find = [&](const std::string& token) {
      const std::int32_t found = trie_.Find(token);
      if (found < 0) {
        Fail(ErrorCode::kInvalidFile, "merge ", rank + 1, ", '", left, "' with '", right, "': token '", token,
             "' is not in the vocabulary");
      }
      return found;
    };
    // What continues a word loses the mark of it.
    const std::string merged = left + right.substr(std::min(prefix, right.size()));
    rows.push_back({find(left), find(right), rank});
    merged_.push_back(find(merged));
  }
  bucket_bits_ = static_cast<int>(std::bit_width(rows.size()));
  const auto key_of = [&](const Merge& merge) {
    return std::tuple(BucketOf(merge.left, merge.right), merge.left, merge.right);
  };
  std::ranges::stable_sort(rows, {}, key_of);
  bucket_begin_.assign((std::size_t{1} << bucket_bits_) + 1, 0);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    // Of merges of one pair the last holds.
    if (i + 1 == rows.size() || key_of(rows[i + 1]) != key_of(rows[i])) {
      merges_.push_back(rows[i]);
      bucket_begin_[BucketOf(rows[i].left, rows[i].right) + 1] = static_cast<std::int32_t>(merges_.size());
    }
  }
  for (std::size_t i = 1; i < bucket_begin_.size(); ++i) {
    bucket_begin_[i] = std::max(bucket_begin_[i], bucket_begin_[i - 1]);
  }
}

std::size_t Bpe::BucketOf(std::int32_t left, std::int32_t right) const {
  constexpr std::uint64_t kOdd = 0x9E3779B97F4A7C15;  // 2^64 / golden ratio: Fibonacci hashing
  const auto pair = static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint64_t>(right);
  return static_cast<std::size_t>((pair * kOdd) >> 32 >> (32 - bucket_bits_));
}

std::int32_t Bpe::FindRank(std::int32_t left, std::int32_t right) const {
  const std::size_t bucket = BucketOf(left, right);
  const auto begin = merges_.begin() + bucket_begin_[bucket];
  const auto end = merges_.begin() + bucket_begin_[bucket + 1];
  // A bucket holds one or two, unless somebody chose the merges to make it long.
  const auto found = std::ranges::lower_bound(begin, end, std::pair(left, right), {},
                                              [](const Merge& merge) { return std::pair(merge.left, merge.right); });
  return found != end && found->left == left && found->right == right ? found->rank : -1;
}

std::int32_t Bpe::Find(std::string_view token) const {
  const std::int32_t found = trie_.Find(token);
  return found < 0 ? -1 : ids_[static_cast<std::size_t>(found)];
}

// Appends the tokens of all bytes; nothing, and false, if the vocabulary lacks one.
bool Bpe::AppendBytes(std::string_view bytes, std::vector<BpeSymbol>* symbols) const {
  const auto token_of = [&](char byte) { return byte_tokens_[static_cast<unsigned char>(byte)]; };
  if (byte_tokens_.empty() || !std::ranges::all_of(bytes, [&](char byte) { return token_of(byte) >= 0; })) {
    return false;
  }
  for (const char byte : bytes) {
    symbols->push_back({token_of(byte)});
  }
  return true;
}

void Bpe::SplitCharacters(std::string_view piece, std::vector<BpeSymbol>* symbols) const {
  bool pending = false;  // an unknown character whose token is not yet there
  const auto flush = [&] {
    if (pending) {
      symbols->push_back({unknown_});
    }
    pending = false;
  };
  for (std::size_t begin = 0, end = 0; begin < piece.size(); begin = end) {
    DecodeNext(piece, &end);
    const std::string_view character = piece.substr(begin, end - begin);
    const std::string_view suffix = end == piece.size() ? options_.word_suffix : std::string_view();
    const DoubleArray::Node start = begin == 0 ? DoubleArray::kRoot : continuing_;
    const DoubleArray::Node node = trie_.Walk(trie_.Walk(start, character), suffix);
    const std::int32_t token = node == DoubleArray::kNowhere ? -1 : trie_.ValueAt(node);
    if (token >= 0) {
      flush();
      symbols->push_back({token});
      continue;
    }
    const std::string_view prefix = begin == 0 ? std::string_view() : options_.continuing_prefix;
    // An unknown character before the bytes comes after them: Hugging Face's order.
    if (AppendBytes(std::string(prefix).append(character).append(suffix), symbols) || !options_.unknown_token) {
      continue;
    }
    if (unknown_ < 0) {
      Fail(ErrorCode::kInvalidFile, "the vocabulary has neither '", character, "' nor the unknown token '",
           *options_.unknown_token, "'");
    }
    if (!options_.fuse_unknown) {
      flush();
    }
    pending = true;
  }
  flush();
}

void Bpe::MergeSymbols(ModelScratch* scratch) const {
  std::vector<BpeSymbol>& symbols = scratch->symbols;
  std::vector<BpeCandidate>& queue = scratch->candidates;
  queue.clear();
  const auto at = [&](std::int32_t position) -> BpeSymbol& { return symbols[static_cast<std::size_t>(position)]; };
  const auto token_of = [&](std::int32_t rank) { return merged_[static_cast<std::size_t>(rank)]; };
  const auto offer = [&](std::int32_t position) {
    BpeSymbol& left = at(position);
    left.rank = left.next < 0 ? -1 : FindRank(left.token, at(left.next).token);
    if (left.rank >= 0) {
      queue.push_back(static_cast<BpeCandidate>(left.rank) << 32 | static_cast<BpeCandidate>(position));
    }
    return left.rank >= 0;
  };
  const auto count = static_cast<std::int32_t>(symbols.size());
  for (std::int32_t i = 0; i < count; ++i) {
    at(i).previous = i - 1;
    at(i).next = i + 1 < count ? i + 1 : -1;
    offer(i);
  }
  std::ranges::make_heap(queue, std::greater());
  while (!queue.empty()) {
    std::ranges::pop_heap(queue, std::greater());
    const auto rank = static_cast<std::int32_t>(queue.back() >> 32);
    const auto position = static_cast<std::int32_t>(queue.back());
    queue.pop_back();
    BpeSymbol& left = at(position);
    // If another pair stands there now and becomes the same token, it is merged now, at the rank of the pair that was
    // there first: so does Hugging Face.
    if (left.rank < 0 || (left.rank != rank && token_of(left.rank) != token_of(rank))) {
      continue;
    }
    BpeSymbol& right = at(left.next);
    left.token = token_of(rank);
    left.next = right.next;
    right = {};
    if (left.next >= 0) {
      at(left.next).previous = position;
    }
    if (offer(position)) {
      std::ranges::push_heap(queue, std::greater());
    }
    if (left.previous >= 0 && offer(left.previous)) {
      std::ranges::push_heap(queue, std::greater());
    }
  }
}

void Bpe::Tokenize(std::string_view piece, ModelScratch* scratch, std::vector<std::int32_t>* ids) const {
  if (piece.size() > std::numeric_limits<std::int32_t>::max() / (1 + kMaxAffixBytes)) {
    Fail(ErrorCode::kResource, "a word of ", piece.size(), " bytes");
  }
  if (options_.ignore_merges) {
    if (const std::int32_t id = Find(piece); id >= 0) {
      ids->push_back(id);
      return;
    }
  }
  scratch->symbols.clear();
  SplitCharacters(piece, &scratch->symbols);
  MergeSymbols(scratch);
  for (const BpeSymbol& symbol : scratch->symbols) {
    if (symbol.token >= 0) {
      ids->push_back(ids_[static_cast<std::size_t>(symbol.token)]);
    }
  }
}

}  // namespace laconic::text
