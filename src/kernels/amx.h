// AMX tiles must be granted: the system saves their 8 KB for processes that ask only.
#pragma once

namespace laconic::kernels {

// Whether this CPU has AMX with INT8 and BF16 products and the system lets this process use it. Asks the system; what
// it grants lasts.
bool AmxGranted() noexcept;

}  // namespace laconic::kernels
