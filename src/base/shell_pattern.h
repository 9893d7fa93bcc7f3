// Shell patterns in names: `*` any text, `?` any character, `[...]` one of these.
#pragma once

#include <string>

namespace laconic {

// Whether `pattern` matches the whole of `name`.
bool MatchesPattern(const std::string& pattern, const std::string& name);

}  // namespace laconic
