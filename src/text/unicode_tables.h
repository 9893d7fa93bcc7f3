// Tables written by tools/text/make_unicode_tables.py; use them through text/unicode.h.
#pragma once

#include <cstdint>
#include <span>

namespace laconic::text {

// `properties` holds from `first` up to the next run's.
struct PropertyRun {
  char32_t first;
  std::uint32_t properties;
};

// `code_point` becomes PoolTable()[offset, offset + length).
struct Mapping {
  char32_t code_point;
  std::uint16_t offset;
  std::uint16_t length;
};

struct Composition {
  char32_t first;
  char32_t second;
  char32_t composed;
};

// Each sorted by code point (pair of code points). The decompositions are full; Hangul syllables are not listed.
std::span<const PropertyRun> PropertyRunTable() noexcept;
std::span<const Mapping> CanonicalTable() noexcept;
std::span<const Mapping> CompatibilityTable() noexcept;
std::span<const Mapping> LowercaseTable() noexcept;
std::span<const Composition> CompositionTable() noexcept;
std::span<const char32_t> PoolTable() noexcept;

}  // namespace laconic::text
