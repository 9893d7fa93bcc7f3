// Vec16 as one AVX-512 register. See vec16.h.
#pragma once

#include <cstdint>

#include <immintrin.h>

namespace laconic::kernels {
namespace {

struct Vec16 {
  __m512 v;
};
// IEEE binary16 and bfloat16 as they are stored.
struct Half {
  std::uint16_t bits;
};
struct BFloat16 {
  std::uint16_t bits;
};

// Of the 32 registers 24 accumulate.
inline constexpr int kMaxVecs = 4;
constexpr int MaxRows(int vecs) { return vecs == 4 ? 6 : 8; }

inline Vec16 Load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline Vec16 Load(const Half* p) { return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))}; }
inline Vec16 Load(const BFloat16* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
inline Vec16 Load(const std::int8_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
inline void Store(float* p, Vec16 x) { _mm512_storeu_ps(p, x.v); }
// The first n lanes, none if n is negative, n < 16; LoadFirst gives 0 in the others.
inline __mmask16 FirstLanes(std::int64_t n) { return static_cast<__mmask16>(n <= 0 ? 0 : (1 << n) - 1); }
inline Vec16 LoadFirst(const float* p, std::int64_t n) { return {_mm512_maskz_loadu_ps(FirstLanes(n), p)}; }
inline void StoreFirst(float* p, Vec16 x, std::int64_t n) { _mm512_mask_storeu_ps(p, FirstLanes(n), x.v); }
inline Vec16 KeepFirst(Vec16 x, std::int64_t n) { return {_mm512_maskz_mov_ps(FirstLanes(n), x.v)}; }
// x holds integers 0..255.
inline void StoreU8(std::uint8_t* p, Vec16 x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x.v)));
}
inline void StoreLowBytes(std::uint8_t* p, Vec16 x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_castps_si512(x.v)));
}

inline Vec16 Set1(float x) { return {_mm512_set1_ps(x)}; }
inline Vec16 Add(Vec16 a, Vec16 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec16 Sub(Vec16 a, Vec16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec16 Mul(Vec16 a, Vec16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec16 Div(Vec16 a, Vec16 b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec16 Fma(Vec16 a, Vec16 b, Vec16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// b where either is NaN.
inline Vec16 Min(Vec16 a, Vec16 b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec16 Max(Vec16 a, Vec16 b) { return {_mm512_max_ps(a.v, b.v)}; }
// Of numbers >= 0; NaN is the largest, then infinity.
inline __m256 MaxBits(__m256 a, __m256 b) {
  return _mm256_castsi256_ps(_mm256_max_epu32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}
inline Vec16 MaxBits(Vec16 a, Vec16 b) {
  return {_mm512_castsi512_ps(_mm512_max_epu32(_mm512_castps_si512(a.v), _mm512_castps_si512(b.v)))};
}
inline Vec16 Abs(Vec16 x) { return {_mm512_abs_ps(x.v)}; }
inline Vec16 CopySign(Vec16 magnitude, Vec16 sign) {
  return {_mm512_or_ps(magnitude.v, _mm512_and_ps(sign.v, _mm512_set1_ps(-0.0F)))};
}
// To the nearest integer, half to even.
inline Vec16 Round(Vec16 x) { return {_mm512_roundscale_ps(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
// 2^n for integers n in [-126, 127].
inline Vec16 PowerOfTwo(Vec16 n) {
  return {
      _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127)), 23))};
}
// x 2^n for results that are normal numbers, n the integer in the lowest nine bits of each lane of `bits`.
inline Vec16 AddToExponent(Vec16 x, Vec16 bits) {
  return {_mm512_castsi512_ps(
      _mm512_add_epi32(_mm512_castps_si512(x.v), _mm512_slli_epi32(_mm512_castps_si512(bits.v), 23)))};
}
// x, but 0 where t < limit.
inline Vec16 ZeroWhereLess(Vec16 t, Vec16 limit, Vec16 x) {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(t.v, limit.v, _CMP_NLT_UQ), x.v)};
}
// nans, but x where that is NaN.
inline Vec16 KeepNaN(Vec16 nans, Vec16 x) {
  return {_mm512_mask_mov_ps(nans.v, _mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q), x.v)};
}
// Whether a < b in every lane; NaN is not.
inline bool AllLess(Vec16 a, Vec16 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_NLT_UQ) == 0; }
struct Ints16 {
  __m512i v;
};
inline Ints16 LoadInts(const std::int32_t* p) { return {_mm512_loadu_si512(p)}; }
inline void StoreInts(std::int32_t* p, Ints16 x) { _mm512_storeu_si512(p, x.v); }
inline Ints16 SetInts(std::int32_t x) { return {_mm512_set1_epi32(x)}; }
inline Ints16 Add(Ints16 a, Ints16 b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline Ints16 And(Ints16 a, Ints16 b) { return {_mm512_and_si512(a.v, b.v)}; }
inline Ints16 Or(Ints16 a, Ints16 b) { return {_mm512_or_si512(a.v, b.v)}; }
inline Ints16 ShiftLeft(Ints16 x, int bits) { return {_mm512_slli_epi32(x.v, static_cast<unsigned>(bits))}; }
// To the nearest, half to even.
inline Ints16 ToInts(Vec16 x) { return {_mm512_cvtps_epi32(x.v)}; }
inline Vec16 ToFloats(Ints16 x) { return {_mm512_cvtepi32_ps(x.v)}; }
inline Ints16 Multiply(Ints16 a, std::int32_t b) { return {_mm512_mullo_epi32(_mm512_set1_epi32(b), a.v)}; }
// f32(a - b), the difference in s32.
inline Vec16 Difference(Ints16 a, Ints16 b) { return {_mm512_cvtepi32_ps(_mm512_sub_epi32(a.v, b.v))}; }
// table[i] in each lane, i the lowest four bits of the lane that the lookup was made of. table: 64-byte aligned.
struct Lookup16 {
  __m512i index;
};
inline Lookup16 MakeLookup(Vec16 x) { return {_mm512_castps_si512(x.v)}; }
inline Vec16 LookUp(const float (&table)[16], Lookup16 lookup) {
  return {_mm512_permutexvar_ps(lookup.index, _mm512_load_ps(table))};
}

inline __m256 LowHalf(Vec16 x) { return _mm512_castps512_ps256(x.v); }
inline __m256 HighHalf(Vec16 x) { return _mm512_extractf32x8_ps(x.v, 1); }

}  // namespace
}  // namespace laconic::kernels
