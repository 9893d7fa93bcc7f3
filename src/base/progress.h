// Progress of long work: the library reports counts; whoever runs it decides what to show.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace laconic {

// Called as work proceeds with what is being done, units done and units in all (0: not known). From one thread.
using ProgressFn = std::function<void(std::string_view what, std::int64_t done, std::int64_t total)>;

// A ProgressFn that draws one line with time left on standard error, for work of over two seconds and only when
// standard error is a terminal; otherwise it does nothing.
ProgressFn MakeTerminalProgress();

}  // namespace laconic
