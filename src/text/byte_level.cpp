#include "text/byte_level.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "base/utf8.h"
#include "text/unicode.h"

namespace laconic::text {
namespace {

struct ByteCharacter {
  std::uint8_t size;
  char bytes[2];
};

// Bytes that are printable in Latin-1 stand for themselves; the others are numbered from U+0100 on.
std::array<ByteCharacter, 256> MakeCharacters() {
  std::array<ByteCharacter, 256> characters{};
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xFF && byte != 0xAD);
    std::string character;
    AppendUtf8(printable ? byte : next++, &character);
    characters[byte].size = static_cast<std::uint8_t>(character.size());
    std::ranges::copy(character, characters[byte].bytes);
  }
  return characters;
}

constexpr std::uint32_t kClasses = kWhiteSpace | kLetter | kNumber;

// White space, letter, number, or none of them; a character is never two of them.
std::uint32_t ClassAt(std::string_view text, std::size_t at) { return Properties()[DecodeNext(text, &at)] & kClasses; }

std::size_t RunEnd(std::string_view text, std::size_t at) {
  const PropertyTable& table = Properties();
  const std::uint32_t run_class = ClassAt(text, at);
  while (at < text.size()) {
    std::size_t next = at;
    if ((table[DecodeNext(text, &next)] & kClasses) != run_class) {
      break;
    }
    at = next;
  }
  return at;
}

}  // namespace

void AppendByteCharacters(std::string_view bytes, std::string* out) {
  static const std::array<ByteCharacter, 256> characters = MakeCharacters();
  std::size_t size = out->size();
  out->resize(size + 2 * bytes.size());
  for (const char byte : bytes) {
    const ByteCharacter& character = characters[static_cast<unsigned char>(byte)];
    std::memcpy(out->data() + size, character.bytes, sizeof character.bytes);
    size += character.size;
  }
  out->resize(size);
}

std::size_t ByteLevelWordEnd(std::string_view text, std::size_t at) {
  for (const std::string_view ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
    if (text[at] == '\'' && text.substr(at).starts_with(ending)) {
      return at + ending.size();
    }
  }
  const bool space = text[at] == ' ' && at + 1 < text.size();
  const std::size_t word = at + (space ? 1 : 0);
  if (ClassAt(text, word) != kWhiteSpace) {
    return RunEnd(text, word);
  }
  // White space; its last character is left to the word that follows.
  const std::size_t end = RunEnd(text, at);
  const std::size_t last = CharBefore(text, end);
  return end == text.size() || last == at ? end : last;
}

}  // namespace laconic::text
