// Unicode normalization forms, by the tables of text/unicode.h. Source: UAX #15, sections 1.2 and 6; Hangul: The
// Unicode Standard, section 3.12.
#pragma once

#include <string>
#include <string_view>

namespace laconic::text {

enum class NormalizationForm { kNfd, kNfc, kNfkd, kNfkc };

// Appends the normalized text. Precondition: `text` is valid UTF-8.
void AppendNormalized(NormalizationForm form, std::string_view text, std::string* out);

// The same by the definition, every character decomposed: what the above does only where a text is not in its form.
void AppendNormalizedByDefinition(NormalizationForm form, std::string_view text, std::string* out);

// The canonical decomposition of one code point, Hangul included. `storage` holds it where no table does.
std::u32string_view Decompose(char32_t c, bool compatibly, char32_t (&storage)[3]);

}  // namespace laconic::text
