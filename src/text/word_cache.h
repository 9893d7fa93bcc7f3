// The ids of words seen lately: most words of a text are a few thousand, and to cut one anew costs ten times a look-up.
// A table of fixed size in which a word has one place, so that memory and the cost of a hostile text stay bounded; what
// it answers is what the model would answer.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace laconic::text {

class WordCache {
 public:
  static constexpr std::size_t kMaxWordBytes = 62;
  static constexpr std::size_t kMaxIds = 16;

  WordCache() : entries_(kNumEntries) {}

  // Where the word has its place. Precondition: a word of 1 to kMaxWordBytes bytes.
  static std::size_t PlaceOf(std::string_view word) noexcept;
  // Appends the word's ids if they are known.
  bool AppendIds(std::size_t place, std::string_view word, std::vector<std::int32_t>* ids) const;
  // Keeps the word's ids, unless they are more than kMaxIds.
  void Put(std::size_t place, std::string_view word, std::span<const std::int32_t> ids) noexcept;

 private:
  static constexpr int kPlaceBits = 12;
  static constexpr std::size_t kNumEntries = std::size_t{1} << kPlaceBits;  // half a megabyte
  struct alignas(64) Entry {
    std::uint8_t num_bytes = 0;  // 0: free
    std::uint8_t num_ids = 0;
    char bytes[kMaxWordBytes];
    std::int32_t ids[kMaxIds];
  };
  static_assert(sizeof(Entry) == 128);

  std::vector<Entry> entries_;
};

}  // namespace laconic::text
