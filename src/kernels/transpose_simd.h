// Transposing blocks of 32-bit elements, for every vector level.
#pragma once

#include <cstdint>

#include <immintrin.h>

namespace laconic::kernels {
namespace {

// out[c, r] = in[r, c] for 8 rows and 8 columns of any 32 bits.
inline void Transpose8x8(const float* in, std::int64_t in_stride, float* out, std::int64_t out_stride) {
  __m256 pairs[8];
  __m256 quads[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    const __m256 a = _mm256_loadu_ps(in + i * in_stride);
    const __m256 b = _mm256_loadu_ps(in + (i + 1) * in_stride);
    pairs[i] = _mm256_unpacklo_ps(a, b);
    pairs[i + 1] = _mm256_unpackhi_ps(a, b);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    quads[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
    quads[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xEE);
    quads[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
    quads[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xEE);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(out + i * out_stride, _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x20));
    _mm256_storeu_ps(out + (i + 4) * out_stride, _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x31));
  }
}

}  // namespace
}  // namespace laconic::kernels
