// How this thread rounds f32, whatever the program around us has set.
#pragma once

#include <xmmintrin.h>

namespace laconic {

// While it lives: to nearest, ties to even, subnormals kept, no traps. A host may flush subnormals to zero (programs
// linked with -ffast-math do, and torch.set_flush_denormal), which would change what weights and answers are.
class DefaultFloatMode {
 public:
  DefaultFloatMode() noexcept { _mm_setcsr(kDefault); }
  ~DefaultFloatMode() { _mm_setcsr(before_); }
  DefaultFloatMode(const DefaultFloatMode&) = delete;
  DefaultFloatMode& operator=(const DefaultFloatMode&) = delete;

 private:
  static constexpr unsigned kDefault = 0x1F80;  // of MXCSR, as a process starts
  unsigned before_ = _mm_getcsr();
};

}  // namespace laconic
