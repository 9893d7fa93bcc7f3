// The byte-level alphabet of GPT-2 and RoBERTa: each byte of a text becomes a printable character, so that no text is
// unknown to a vocabulary that has all 256 of them; and the rule by which texts are cut into words before that.
// Source: Radford et al. 2019, the released encoder.py; the classes of characters as Hugging Face's regular expressions
// have them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace laconic::text {

// Appends one character a byte.
void AppendByteCharacters(std::string_view bytes, std::string* out);

// End of the word that begins at `at`, by the expression
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// Precondition: valid UTF-8, at < text.size().
std::size_t ByteLevelWordEnd(std::string_view text, std::size_t at);

}  // namespace laconic::text
