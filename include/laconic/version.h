// The version of the library and of the command line; CMakeLists.txt reads it here.
#pragma once

#include <string_view>

namespace laconic {

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace laconic
