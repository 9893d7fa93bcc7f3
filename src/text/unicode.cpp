#include "text/unicode.h"

#include <algorithm>
#include <map>
#include <span>

#include "base/utf8.h"
#include "text/unicode_tables.h"

namespace laconic::text {
namespace {

// Where in a table sorted by code point each block of code points begins: a search is left a few steps.
template <typename Entry, char32_t Entry::*kCodePoint>
class BlockIndex {
 public:
  explicit BlockIndex(std::span<const Entry> table) : table_(table) {
    std::size_t at = 0;
    for (std::size_t block = 0; block < begin_.size(); ++block) {
      while (at < table.size() && table[at].*kCodePoint < block << kShift) {
        ++at;
      }
      begin_[block] = static_cast<std::uint16_t>(at);
    }
  }

  // The part of the table that holds `c`, if any does.
  std::span<const Entry> BlockOf(char32_t c) const {
    const std::size_t begin = begin_[c >> kShift];
    return table_.subspan(begin, begin_[(c >> kShift) + 1] - begin);
  }

 private:
  static constexpr int kShift = 7;
  std::span<const Entry> table_;
  std::array<std::uint16_t, (0x110000 >> kShift) + 1> begin_{};
};

using MappingIndex = BlockIndex<Mapping, &Mapping::code_point>;

std::u32string_view Find(const MappingIndex& index, char32_t c, char32_t* self) {
  const std::span<const Mapping> block = index.BlockOf(c);
  const auto found = std::ranges::lower_bound(block, c, {}, &Mapping::code_point);
  if (found != block.end() && found->code_point == c) {
    return {PoolTable().data() + found->offset, found->length};
  }
  *self = c;
  return {self, 1};
}

}  // namespace

PropertyTable::PropertyTable() {
  const std::span<const PropertyRun> runs = PropertyRunTable();
  std::map<std::vector<std::uint32_t>, std::uint32_t> known;
  std::size_t run = 0;
  for (char32_t start = 0; start < 0x110000; start += kBlock) {
    std::vector<std::uint32_t> block(kBlock);
    for (char32_t i = 0; i < kBlock; ++i) {
      while (run + 1 < runs.size() && runs[run + 1].first <= start + i) {
        ++run;
      }
      block[i] = runs[run].properties;
    }
    const auto [entry, is_new] = known.try_emplace(std::move(block), static_cast<std::uint32_t>(blocks_.size()));
    if (is_new) {
      blocks_.insert(blocks_.end(), entry->first.begin(), entry->first.end());
    }
    block_of_[start >> kShift] = entry->second;
  }
}

const PropertyTable& Properties() {
  static const PropertyTable table;
  return table;
}

bool HasBefore(std::string_view text, std::size_t end, std::uint32_t properties) {
  return end > 0 && HasAt(text, CharBefore(text, end), properties);
}

bool HasAt(std::string_view text, std::size_t at, std::uint32_t properties) {
  return at < text.size() && (Properties()[DecodeNext(text, &at)] & properties) != 0;
}

std::u32string_view CanonicalDecompositionOf(char32_t c, char32_t* self) {
  static const MappingIndex index(CanonicalTable());
  return Find(index, c, self);
}

std::u32string_view CompatibilityDecompositionOf(char32_t c, char32_t* self) {
  static const MappingIndex index(CompatibilityTable());
  return Find(index, c, self);
}

char32_t Compose(char32_t first, char32_t second) {
  if ((Properties()[second] & kComposesBackward) == 0) {
    return 0;
  }
  static const BlockIndex<Composition, &Composition::first> index(CompositionTable());
  const std::span<const Composition> block = index.BlockOf(first);
  const auto found = std::ranges::lower_bound(block, std::pair(first, second), {}, [](const Composition& entry) {
    return std::pair(entry.first, entry.second);
  });
  const bool equal = found != block.end() && found->first == first && found->second == second;
  return equal ? found->composed : 0;
}

void AppendLowercase(char32_t c, std::string* out) {
  if ((Properties()[c] & kLowercases) == 0) {
    AppendUtf8(c, out);
    return;
  }
  static const MappingIndex index(LowercaseTable());
  char32_t self = 0;
  for (const char32_t lower : Find(index, c, &self)) {
    AppendUtf8(lower, out);
  }
}

}  // namespace laconic::text
