#include "text/charsmap.h"

#include <array>
#include <bit>
#include <cstring>

#include "base/utf8.h"
#include "laconic/error.h"
#include "text/grapheme.h"
#include "text/unicode.h"

namespace laconic::text {
namespace {

static_assert(std::endian::native == std::endian::little, "the units are read as they lie in the file");

constexpr std::size_t kWholeClusterBytes = 6;  // Hugging Face's bound, in src/normalizers/precompiled.rs

bool HasValue(std::uint32_t unit) { return ((unit >> 8) & 1) != 0; }
std::uint32_t Distance(std::uint32_t unit) { return (unit >> 10) << ((unit & (1U << 9)) >> 6); }
bool HasLabel(std::uint32_t unit, unsigned char label) { return (unit & (1U << 31 | 0xFF)) == label; }

}  // namespace

Charsmap::Charsmap(std::string_view bytes) {
  std::uint32_t trie_bytes = 0;
  if (bytes.size() < sizeof trie_bytes) {
    Fail(ErrorCode::kInvalidFile, "precompiled_charsmap: expected at least 4 bytes, got ", bytes.size());
  }
  std::memcpy(&trie_bytes, bytes.data(), sizeof trie_bytes);
  bytes.remove_prefix(sizeof trie_bytes);
  const std::size_t num_units = trie_bytes / sizeof(std::uint32_t);
  if (num_units == 0 || num_units * sizeof(std::uint32_t) > bytes.size()) {
    Fail(ErrorCode::kInvalidFile, "precompiled_charsmap: a trie of ", trie_bytes, " bytes in ", bytes.size());
  }
  units_.resize(num_units);
  std::memcpy(units_.data(), bytes.data(), num_units * sizeof(std::uint32_t));
  replacements_ = bytes.substr(num_units * sizeof(std::uint32_t));
  if (FindInvalidUtf8(replacements_) != std::string::npos) {
    Fail(ErrorCode::kInvalidFile, "precompiled_charsmap: replacements that are not UTF-8");
  }
}

std::uint32_t Charsmap::Unit(std::size_t at) const {
  if (at >= units_.size()) {
    Fail(ErrorCode::kInvalidFile, "precompiled_charsmap: the trie points to unit ", at, " of ", units_.size());
  }
  return units_[at];
}

std::optional<std::string_view> Charsmap::Find(std::string_view text) const {
  std::size_t at = Distance(Unit(0));
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte == 0) {
      return std::nullopt;
    }
    at ^= byte;
    const std::uint32_t unit = Unit(at);
    if (!HasLabel(unit, byte)) {
      return std::nullopt;
    }
    at ^= Distance(unit);
    if (HasValue(unit)) {
      const std::size_t offset = Unit(at) & 0x7FFFFFFF;
      const bool mid_character = offset < replacements_.size() && (replacements_[offset] & 0xC0) == 0x80;
      if (offset > replacements_.size() || mid_character) {
        Fail(ErrorCode::kInvalidFile, "precompiled_charsmap: no replacement begins at byte ", offset);
      }
      return std::string_view(replacements_.c_str() + offset);
    }
  }
  return std::nullopt;
}

void Charsmap::AppendMapped(std::string_view text, std::string* out) const {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = GraphemeEnd(text, at);
    if (end - at < kWholeClusterBytes) {
      if (const auto replacement = Find(text.substr(at, end - at))) {
        out->append(*replacement);
        at = end;
        continue;
      }
    }
    while (at < end) {
      const std::size_t begin = at;
      DecodeNext(text, &at);
      const std::string_view character = text.substr(begin, at - begin);
      out->append(Find(character).value_or(character));
    }
  }
}

std::string DecodeBase64(std::string_view text) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<int, 256> value_of{};
  value_of.fill(-1);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    value_of[static_cast<unsigned char>(kAlphabet[i])] = static_cast<int>(i);
  }
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  if (text.size() % 4 != 0) {
    Fail(ErrorCode::kInvalidFile, "base64: expected a multiple of 4 characters, got ", text.size());
  }
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int value = i + padding >= text.size() ? 0 : value_of[static_cast<unsigned char>(text[i])];
    if (value < 0) {
      Fail(ErrorCode::kInvalidFile, "base64: unexpected character at ", i);
    }
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    if (i % 4 == 3) {
      bytes.push_back(static_cast<char>(bits >> 16));
      bytes.push_back(static_cast<char>(bits >> 8));
      bytes.push_back(static_cast<char>(bits));
    }
  }
  bytes.resize(bytes.size() - padding);
  return bytes;
}

}  // namespace laconic::text
