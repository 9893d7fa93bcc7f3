#include "kernels/attention_int8/simd.h"

namespace laconic::kernels {

void AttentionInt8AvxVnni(const AttentionArgs& args) noexcept { Attend(args); }

}  // namespace laconic::kernels
