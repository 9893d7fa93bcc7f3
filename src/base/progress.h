// Progress of long work: the library reports counts; whoever runs it decides what to show.
#pragma once

#include <cstdint>
#include <string_view>

#include "laconic/progress.h"

namespace laconic {

// Calls `progress` if there is one.
inline void Report(const ProgressFn& progress, std::string_view what, std::int64_t done, std::int64_t total) {
  if (progress) {
    progress(what, done, total);
  }
}

// A ProgressFn that draws one line with time left on standard error, for work of over two seconds and only when
// standard error is a terminal; otherwise it does nothing.
ProgressFn MakeTerminalProgress();

}  // namespace laconic
