// Extended grapheme clusters, by the tables of text/unicode.h. Source: UAX #29, rules GB1-GB999 of Unicode 17.
#pragma once

#include <cstddef>
#include <string_view>

namespace laconic::text {

// End of the cluster that begins at `at`. Precondition: valid UTF-8, at < text.size().
std::size_t GraphemeEnd(std::string_view text, std::size_t at);

}  // namespace laconic::text
