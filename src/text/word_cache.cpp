#include "text/word_cache.h"

#include <cstring>
#include <utility>

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

bool WordCache::AppendIds(std::size_t place, std::string_view word, std::vector<std::int32_t>* ids) {
  const auto holds = [&](const Entry& entry) {
    return entry.num_bytes == word.size() && std::memcmp(entry.word_and_ids, word.data(), word.size()) == 0;
  };
  auto& [first, second] = pairs_[place];
  if (!holds(first)) {
    if (!holds(second)) {
      return false;
    }
    std::swap(first, second);
  }
  const std::size_t num_before = ids->size();
  ids->resize(num_before + first.num_ids);
  std::memcpy(ids->data() + num_before, first.word_and_ids + word.size(), first.num_ids * sizeof(std::int32_t));
  return true;
}

void WordCache::Put(std::size_t place, std::string_view word, std::span<const std::int32_t> ids) noexcept {
  auto& [first, second] = pairs_[place];
  if (ids.empty() || word.size() + ids.size_bytes() > sizeof first.word_and_ids) {
    return;
  }
  second = first;
  first.num_bytes = static_cast<std::uint8_t>(word.size());
  first.num_ids = static_cast<std::uint8_t>(ids.size());
  std::memcpy(first.word_and_ids, word.data(), word.size());
  std::memcpy(first.word_and_ids + word.size(), ids.data(), ids.size_bytes());
}

}  // namespace laconic::text
