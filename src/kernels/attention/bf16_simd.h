// What kernels of attention in bfloat16 share, whatever multiplies: rounding, and the softmax. Neighbours along a sum
// lie side by side, two bfloat16 in a word of 32 bits.
#pragma once

#include "kernels/activation_simd.h"
#include "kernels/attention/attention.h"

namespace laconic::kernels {
namespace {

inline constexpr float kLog2E = 1.44269504F;

// 32 floats, of which n exist, times `factor`, as 32 bfloat16.
inline __m512i RoundRow(const float* p, std::int64_t n, __m512 factor) {
  const __m512 lo = _mm512_mul_ps(LoadPart(p, n).v, factor);
  const __m512 hi = _mm512_mul_ps(LoadPart(p + kLanes, n - kLanes).v, factor);
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(hi, lo));
}

// out[c] = rows[0…15][c], in 32-bit elements.
inline void Transpose16x16(__m512i (&rows)[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    rows[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0xDD);
    t[i + 8] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0xDD);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    rows[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    rows[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xDD);
    rows[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    rows[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xDD);
  }
}

// Words of 16 keys from key j on, along head_dim from d on: words[i][c] holds elements d + 2 i and d + 2 i + 1 of key
// j + c. Zeros past keys and head_dim.
inline void LoadKeys(const AttentionArgs& args, std::int64_t j, std::int64_t d, __m512i (&words)[16]) {
  const __m512 one = _mm512_set1_ps(1.0F);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    words[i] = j + i < args.keys ? RoundRow(args.k + (j + i) * args.k_stride + d, args.head_dim - d, one)
                                 : _mm512_setzero_si512();
  }
  Transpose16x16(words);
}

// 16 floats, of which n exist, as bfloat16 in the low halves of 32 bits.
inline __m512i RoundWide(const float* p, std::int64_t n) {
  return _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(LoadPart(p, n).v)));
}

// Words of values j and j + 1, their elements from d on. Zeros past keys and head_dim.
inline __m512i LoadValues(const AttentionArgs& args, std::int64_t j, std::int64_t d) {
  const float* v = args.v + j * args.v_stride + d;
  const std::int64_t left = args.head_dim - d;
  const __m512i low = j < args.keys ? RoundWide(v, left) : _mm512_setzero_si512();
  const __m512i high = j + 1 < args.keys ? RoundWide(v + args.v_stride, left) : _mm512_setzero_si512();
  return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

// Queries times scale * log2 e, zeros past head_dim: 32 of row r, from element d on.
inline __m512i LoadQuery(const AttentionArgs& args, std::int64_t r, std::int64_t d) {
  return RoundRow(args.q + r * args.q_stride + d, args.head_dim - d, _mm512_set1_ps(args.scale * kLog2E));
}

// sum += both products of each lane's pairs. One instruction in asm, so that g++ 12 keeps `sum` in its register.
inline void DotProduct(__m512& sum, __m512i a, __m512i b) { asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b)); }

// 2^x for x <= 0 to 1e-4 (bfloat16 has 3.9e-3); 0 below 2^-150. NaN stays NaN.
inline __m512 Exp2(__m512 x) {
  constexpr float kExp2[] = {0.999924541F, 0.693136752F, 0.242639482F, 0.0558382832F};
  const __m512 bounded = _mm512_max_ps(_mm512_set1_ps(-200.0F), x);
  const __m512 n = _mm512_roundscale_ps(bounded, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 f = _mm512_sub_ps(bounded, n);
  const __m512 value = Horner(kExp2, {f}).v;
  return _mm512_scalef_ps(value, n);
}

// weights = 2^(score - max) as bfloat16, 0 past keys; returns 1 / their sum, as they were rounded. 16 scores lie
// together, the next 16 score_step further on; of the weights 32, the next weight_step further on.
inline float SoftmaxRow(std::int64_t keys, float* scores, std::int64_t score_step, std::uint16_t* weights,
                        std::int64_t weight_step) {
  const __m512 lowest = _mm512_set1_ps(-__builtin_inff());
  const std::int64_t vectors = (keys + kLanes - 1) / kLanes;
  for (std::int64_t j = keys; j < vectors * kLanes; ++j) {
    scores[j / kLanes * score_step + j % kLanes] = -__builtin_inff();
  }
  __m512 largest = lowest;
  for (std::int64_t i = 0; i < vectors; ++i) {
    largest = _mm512_max_ps(_mm512_loadu_ps(scores + i * score_step), largest);
  }
  largest = _mm512_set1_ps(_mm512_reduce_max_ps(largest));
  const __m512i ones = _mm512_set1_epi32(0x3F803F80);  // pairs of 1
  __m512 sum = _mm512_setzero_ps();
  for (std::int64_t i = 0; i < vectors; i += 2) {
    const __m512 second = i + 1 < vectors ? _mm512_loadu_ps(scores + (i + 1) * score_step) : lowest;
    const auto rounded = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(
        Exp2(_mm512_sub_ps(second, largest)), Exp2(_mm512_sub_ps(_mm512_loadu_ps(scores + i * score_step), largest))));
    _mm512_storeu_si512(weights, rounded);
    DotProduct(sum, rounded, ones);
    weights += weight_step;
  }
  return 1.0F / _mm512_reduce_add_ps(sum);
}

}  // namespace
}  // namespace laconic::kernels
