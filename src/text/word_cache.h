// The ids of words seen lately: most words of a text are a few thousand, and to cut one anew costs ten times a look-up.
// A table of fixed size in which a word has two places, so that memory and the cost of a hostile text stay bounded;
// what it answers is what the model would answer.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace laconic::text {

class WordCache {
 public:
  static constexpr std::size_t kMaxWordBytes = 58;

  WordCache() : pairs_(kNumPairs) {}

  // Where the word has its places. Precondition: a word of 1 to kMaxWordBytes bytes.
  static std::size_t PlaceOf(std::string_view word) noexcept;
  // Appends the word's ids if they are known.
  bool AppendIds(std::size_t place, std::string_view word, std::vector<std::int32_t>* ids);
  // Keeps the word's ids, unless they are none or too many; of the two words there it forgets the one used longer ago.
  void Put(std::size_t place, std::string_view word, std::span<const std::int32_t> ids) noexcept;

 private:
  static constexpr int kPlaceBits = 14;
  static constexpr std::size_t kNumPairs = std::size_t{1} << kPlaceBits;  // 2 MB
  struct alignas(64) Entry {
    std::uint8_t num_bytes = 0;  // 0: free
    std::uint8_t num_ids = 0;
    char word_and_ids[62] = {};
  };
  static_assert(sizeof(Entry) == 64);

  std::vector<std::array<Entry, 2>> pairs_;  // the later used first
};

}  // namespace laconic::text
