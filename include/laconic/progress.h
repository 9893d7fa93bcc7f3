// What a long call tells its caller while it runs.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace laconic {

// Called as work proceeds with what is being done, units done and units in all (0: not known). From one thread. May be
// empty.
using ProgressFn = std::function<void(std::string_view what, std::int64_t done, std::int64_t total)>;

// Called with a sentence on what was done otherwise than asked, and still right. May be empty.
using NoteFn = std::function<void(const std::string&)>;

}  // namespace laconic
