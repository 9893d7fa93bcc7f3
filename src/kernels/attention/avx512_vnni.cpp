#include "kernels/attention/simd.h"

namespace laconic::kernels {

void AttentionAvx512Vnni(const AttentionArgs& args) noexcept { Attend(args); }

}  // namespace laconic::kernels
