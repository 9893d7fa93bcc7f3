// Numbers of JSON files as Hugging Face's reader rounds them.
#pragma once

#include <string_view>

namespace laconic::text {

// The value that Rust's serde_json (without its float_roundtrip feature) gives a JSON number: the digits as an integer,
// cut off where they no longer fit 64 bits, times or by a power of ten. "-3.4635426998138428" becomes the double one
// unit in the last place from the nearest; segmentations whose scores tie depend on it. Precondition: `text` is a JSON
// number. Errors: kInvalidFile above the range of double.
double ParseSerdeDouble(std::string_view text);

}  // namespace laconic::text
