// Ctrl-C, seen by long work. The library only reads a flag; the command line sets it from a signal handler.
#pragma once

namespace laconic {

// Whether it had been requested before. Safe in a signal handler.
bool RequestCancel() noexcept;

// Throws Error(kCancelled) once cancellation was requested. Call between units of work that take milliseconds.
void ThrowIfCancelled();

}  // namespace laconic
