// What Hugging Face `tokenizers` believes about code points, whose Unicode versions are not ICU's.
// Source: the library itself, asked for every code point by tools/text/make_unicode_tables.py.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace laconic::text {

// One bit each of a code point's properties; bits 0-7 are its canonical combining class.
inline constexpr std::uint32_t kCombiningClassMask = 0xFF;
inline constexpr std::uint32_t kWhiteSpace = 1U << 8;
inline constexpr std::uint32_t kOther = 1U << 9;  // what BERT's cleaning drops as "control": categories Cc, Cf, Cn, Co
inline constexpr std::uint32_t kPunctuation = 1U << 10;
inline constexpr std::uint32_t kChinese = 1U << 11;
inline constexpr std::uint32_t kNonspacingMark = 1U << 12;
inline constexpr std::uint32_t kCombiningMark = 1U << 13;
inline constexpr std::uint32_t kWord = 1U << 14;  // \w
inline constexpr std::uint32_t kLowercases = 1U << 15;
inline constexpr std::uint32_t kDecomposes = 1U << 16;            // NFD changes it (Hangul syllables not marked)
inline constexpr std::uint32_t kDecomposesCompatibly = 1U << 17;  // NFKD changes it (likewise)
inline constexpr std::uint32_t kComposesBackward = 1U << 18;      // NFC may join it with what stands before
inline constexpr std::uint32_t kPictographic = 1U << 19;
inline constexpr std::uint32_t kLetter = 1U << 20;  // \p{L}
inline constexpr std::uint32_t kNumber = 1U << 21;  // \p{N}

// Grapheme_Cluster_Break as far as it is not told by the code point itself.
enum class GraphemeClass : std::uint8_t {
  kNone,
  kControl,
  kExtend,
  kSpacingMark,
  kPrepend,
  kHangulL,
  kHangulV,
  kHangulT
};
// Indic_Conjunct_Break.
enum class IndicClass : std::uint8_t { kNone, kConsonant, kLinker, kExtend };

inline GraphemeClass GraphemeClassOf(std::uint32_t properties) {
  return static_cast<GraphemeClass>((properties >> 24) & 0xF);
}
inline IndicClass IndicClassOf(std::uint32_t properties) { return static_cast<IndicClass>((properties >> 28) & 3); }

inline bool IsHangulSyllable(char32_t c) { return c >= 0xAC00 && c < 0xD7A4; }

// Two-stage lookup of properties. Precondition of []: c <= U+10FFFF.
class PropertyTable {
 public:
  PropertyTable();
  std::uint32_t operator[](char32_t c) const { return blocks_[block_of_[c >> kShift] + (c & (kBlock - 1))]; }

 private:
  static constexpr int kShift = 7;
  static constexpr char32_t kBlock = 1U << kShift;
  std::array<std::uint32_t, 0x110000 / kBlock> block_of_{};  // offset into blocks_
  std::vector<std::uint32_t> blocks_;
};

// Built at first use. Loops should hold the reference.
const PropertyTable& Properties();

// As base's DecodeUtf8, which a loop over characters wants inline. Precondition: valid UTF-8, *at < text.size().
inline char32_t DecodeNext(std::string_view text, std::size_t* at) {
  const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[*at + i])); };
  const char32_t first = byte(0);
  if (first < 0x80) {
    *at += 1;
    return first;
  }
  if (first < 0xE0) {
    const char32_t c = (first & 0x1F) << 6 | (byte(1) & 0x3F);
    *at += 2;
    return c;
  }
  if (first < 0xF0) {
    const char32_t c = (first & 0xF) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    *at += 3;
    return c;
  }
  const char32_t c = (first & 7) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
  *at += 4;
  return c;
}

// Start of the character that ends at `end`. Precondition: valid UTF-8, end > 0.
inline std::size_t CharBefore(std::string_view text, std::size_t end) {
  do {
    --end;
  } while ((text[end] & 0xC0) == 0x80);
  return end;
}

// Whether the byte at `at` is the last of its character: no token ends elsewhere. Precondition: valid UTF-8.
inline bool EndsCharacter(std::string_view text, std::size_t at) {
  return at + 1 == text.size() || (text[at + 1] & 0xC0) != 0x80;
}

// Has the character before `end` (at `at`) any of these properties? False where there is none.
bool HasBefore(std::string_view text, std::size_t end, std::uint32_t properties);
bool HasAt(std::string_view text, std::size_t at, std::uint32_t properties);

// Full decompositions, Hangul excepted; a code point without one is itself, in *self.
std::u32string_view CanonicalDecompositionOf(char32_t c, char32_t* self);
std::u32string_view CompatibilityDecompositionOf(char32_t c, char32_t* self);
// The primary composite of a pair, Hangul excepted; 0 where there is none.
char32_t Compose(char32_t first, char32_t second);

void AppendLowercase(char32_t c, std::string* out);

}  // namespace laconic::text
