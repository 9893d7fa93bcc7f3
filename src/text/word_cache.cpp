#include "text/word_cache.h"

#include <algorithm>
#include <cstring>

namespace laconic::text {

std::size_t WordCache::PlaceOf(std::string_view word) noexcept {
  constexpr std::uint64_t kOdd = 0x9E3779B97F4A7C15;  // 2^64 / golden ratio: Fibonacci hashing
  std::uint64_t hash = word.size();
  for (; word.size() >= 8; word.remove_prefix(8)) {
    std::uint64_t chunk = 0;
    std::memcpy(&chunk, word.data(), 8);
    hash = (hash ^ chunk) * kOdd;
    hash ^= hash >> 32;
  }
  std::uint64_t rest = 0;
  for (const char c : word) {
    rest = rest << 8 | static_cast<unsigned char>(c);
  }
  return static_cast<std::size_t>(((hash ^ rest) * kOdd) >> (64 - kPlaceBits));
}

bool WordCache::AppendIds(std::size_t place, std::string_view word, std::vector<std::int32_t>* ids) const {
  const Entry& entry = entries_[place];
  if (entry.num_bytes != word.size() || std::memcmp(entry.bytes, word.data(), word.size()) != 0) {
    return false;
  }
  ids->insert(ids->end(), entry.ids, entry.ids + entry.num_ids);
  return true;
}

void WordCache::Put(std::size_t place, std::string_view word, std::span<const std::int32_t> ids) noexcept {
  if (ids.size() > kMaxIds) {
    return;
  }
  Entry& entry = entries_[place];
  entry.num_bytes = static_cast<std::uint8_t>(word.size());
  entry.num_ids = static_cast<std::uint8_t>(ids.size());
  std::ranges::copy(word, entry.bytes);
  std::ranges::copy(ids, entry.ids);
}

}  // namespace laconic::text
