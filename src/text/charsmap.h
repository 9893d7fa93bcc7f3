// SentencePiece's precompiled character map, applied as Hugging Face's Precompiled normalizer does.
// Format: u32 bytes of the trie; the trie's u32 units (darts-clone double array over UTF-8 bytes); NUL-terminated
// replacements, to which the trie's values are offsets. Little-endian.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace laconic::text {

class Charsmap {
 public:
  // Errors: kInvalidFile for bytes that are cut off, an empty trie and replacements that are not UTF-8.
  explicit Charsmap(std::string_view bytes);

  // Appends the mapped text. A grapheme cluster of under six bytes that begins with a key is replaced whole by that
  // key's replacement, of a longer one each character by itself. Errors: kInvalidFile where the trie points outside.
  void AppendMapped(std::string_view text, std::string* out) const;

 private:
  // The replacement of the shortest key that `text` begins with.
  std::optional<std::string_view> Find(std::string_view text) const;
  std::uint32_t Unit(std::size_t at) const;

  std::vector<std::uint32_t> units_;
  std::string replacements_;
};

// Errors: kInvalidFile.
std::string DecodeBase64(std::string_view text);

}  // namespace laconic::text
