// UTF-8, strictly: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace laconic {

// Decodes the code point at `*position` and moves past it. Precondition: `text` is valid UTF-8, *position < size.
char32_t DecodeUtf8(std::string_view text, std::size_t* position) noexcept;

void AppendUtf8(char32_t code_point, std::string* out);

// Offset of the first byte that is not valid UTF-8, or npos.
std::size_t FindInvalidUtf8(std::string_view text) noexcept;

}  // namespace laconic
