#include "kernels/attention_int8/simd.h"

namespace laconic::kernels {

void AttentionInt8Avx512Vnni(const AttentionArgs& args) noexcept { Attend(args); }

}  // namespace laconic::kernels
