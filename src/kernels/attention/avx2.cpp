#include "kernels/attention/simd.h"

namespace laconic::kernels {

void AttentionAvx2(const AttentionArgs& args) noexcept { Attend(args); }

}  // namespace laconic::kernels
