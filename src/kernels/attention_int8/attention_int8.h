// Softmax attention of one sequence and one head, its products those of 8-bit codes that are found as it runs. The
// definition is docs/numerics.md, "INT8 attention".
#pragma once

#include "kernels/attention/attention.h"

namespace laconic::kernels {

inline constexpr float kMinCodeStep = 1e-12F;  // what a vector of zeros gets

// As attention.h says, but keys <= kMaxInt8Keys and for the
// Numerics: each row of q and k, and each column of v, becomes codes -127..127: x / step to the nearest, step =
//           max|x| / 127 but at least kMinCodeStep. score = f32(q's codes . k's codes) * (q's step * scale * log2(e)) *
//           k's step; weight = 255 * 2^(score - max) to 7e-6, to the nearest integer; out = f32(weights . v's codes) *
//           (1 / sum of weights) * v's step. Sums are exact integers, so that all levels agree bit for bit. What sees
//           a NaN or an infinity is NaN: of q its row, of k all, of v its column.
inline constexpr std::int64_t kMaxInt8Keys = 1 << 16;  // 255 * 127 * keys < 2^31 and 255 * keys < 2^24

// Precondition: IsaSupported(isa).
const AttentionKernels& GetAttentionInt8(Isa isa) noexcept;

// Each lives in its own file, compiled with its own flags.
void AttentionInt8Scalar(const AttentionArgs& args) noexcept;
void AttentionInt8Avx2(const AttentionArgs& args) noexcept;
void AttentionInt8AvxVnni(const AttentionArgs& args) noexcept;
void AttentionInt8Avx512Vnni(const AttentionArgs& args) noexcept;

}  // namespace laconic::kernels
