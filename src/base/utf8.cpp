#include "base/utf8.h"

#include <cstdint>
#include <cstring>

namespace laconic {
namespace {

unsigned char Byte(std::string_view text, std::size_t at) { return static_cast<unsigned char>(text[at]); }

bool IsContinuation(unsigned char byte) { return (byte & 0xC0U) == 0x80U; }

// Length of the valid sequence at `at`, or 0. The second byte's bounds exclude overlong forms, surrogates and values
// above U+10FFFF (The Unicode Standard, table 3-7).
std::size_t SequenceLength(std::string_view text, std::size_t at) {
  const unsigned char first = Byte(text, at);
  if (first < 0x80) {
    return 1;
  }
  std::size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    low = first == 0xE0 ? 0xA0 : low;
    high = first == 0xED ? 0x9F : high;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    low = first == 0xF0 ? 0x90 : low;
    high = first == 0xF4 ? 0x8F : high;
  } else {
    return 0;
  }
  if (at + length > text.size() || Byte(text, at + 1) < low || Byte(text, at + 1) > high) {
    return 0;
  }
  for (std::size_t i = 2; i < length; ++i) {
    if (!IsContinuation(Byte(text, at + i))) {
      return 0;
    }
  }
  return length;
}

}  // namespace

char32_t DecodeUtf8(std::string_view text, std::size_t* position) noexcept {
  const unsigned char first = Byte(text, (*position)++);
  if (first < 0x80) {
    return first;
  }
  const int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
  char32_t code_point = first & (0x3FU >> more);
  for (int i = 0; i < more; ++i) {
    code_point = (code_point << 6) | (Byte(text, (*position)++) & 0x3FU);
  }
  return code_point;
}

void AppendUtf8(char32_t code_point, std::string* out) {
  const auto put = [out](char32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3F));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

std::size_t FindInvalidUtf8(std::string_view text) noexcept {
  std::size_t at = 0;
  while (at < text.size()) {
    if (std::uint64_t chunk = 0; at + sizeof chunk <= text.size()) {
      std::memcpy(&chunk, text.data() + at, sizeof chunk);
      if ((chunk & 0x8080808080808080) == 0) {  // all ASCII
        at += sizeof chunk;
        continue;
      }
    }
    const std::size_t length = SequenceLength(text, at);
    if (length == 0) {
      return at;
    }
    at += length;
  }
  return std::string_view::npos;
}

}  // namespace laconic
