// Vec16 as two AVX registers. See vec16.h.
#pragma once

#include <cstdint>

#include <immintrin.h>

namespace laconic::kernels {
namespace {

struct Vec16 {
  __m256 lo;
  __m256 hi;
};
// IEEE binary16 and bfloat16 as they are stored.
struct Half {
  std::uint16_t bits;
};
struct BFloat16 {
  std::uint16_t bits;
};

// Of the 16 registers 12 accumulate.
inline constexpr int kMaxVecs = 1;
constexpr int MaxRows(int /*vecs*/) { return 6; }

inline Vec16 Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline __m128i Load16Bytes(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
inline Vec16 Load(const Half* p) { return {_mm256_cvtph_ps(Load16Bytes(p)), _mm256_cvtph_ps(Load16Bytes(p + 8))}; }
inline __m256 WidenBFloat16(__m128i x) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16)); }
inline Vec16 Load(const BFloat16* p) { return {WidenBFloat16(Load16Bytes(p)), WidenBFloat16(Load16Bytes(p + 8))}; }
inline Vec16 Load(const std::int8_t* p) {
  const __m128i x = Load16Bytes(p);
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(x)), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(x, 8)))};
}
inline void Store(float* p, Vec16 x) {
  _mm256_storeu_ps(p, x.lo);
  _mm256_storeu_ps(p + 8, x.hi);
}
// The first n lanes, none if n is negative, n < 16; LoadFirst gives 0 in the others.
struct Lanes16 {
  __m256i lo;
  __m256i hi;
};
inline Lanes16 FirstLanes(std::int64_t n) {
  const __m256i count = _mm256_set1_epi32(static_cast<int>(n));
  return {_mm256_cmpgt_epi32(count, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
          _mm256_cmpgt_epi32(count, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))};
}
inline Vec16 LoadFirst(const float* p, std::int64_t n) {
  const Lanes16 lanes = FirstLanes(n);
  return {_mm256_maskload_ps(p, lanes.lo), _mm256_maskload_ps(p + 8, lanes.hi)};
}
inline void StoreFirst(float* p, Vec16 x, std::int64_t n) {
  const Lanes16 lanes = FirstLanes(n);
  _mm256_maskstore_ps(p, lanes.lo, x.lo);
  _mm256_maskstore_ps(p + 8, lanes.hi, x.hi);
}
inline Vec16 KeepFirst(Vec16 x, std::int64_t n) {
  const Lanes16 lanes = FirstLanes(n);
  return {_mm256_and_ps(x.lo, _mm256_castsi256_ps(lanes.lo)), _mm256_and_ps(x.hi, _mm256_castsi256_ps(lanes.hi))};
}
// 32-bit integers 0..255.
inline void StoreBytes(std::uint8_t* p, __m256i lo, __m256i hi) {
  const __m256i words = _mm256_packs_epi32(lo, hi);
  const __m256i ordered = _mm256_permute4x64_epi64(words, 0xD8);  // the pack works within 128-bit lanes
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm_packus_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1)));
}
// x holds integers 0..255.
inline void StoreU8(std::uint8_t* p, Vec16 x) { StoreBytes(p, _mm256_cvtps_epi32(x.lo), _mm256_cvtps_epi32(x.hi)); }
inline void StoreLowBytes(std::uint8_t* p, Vec16 x) {
  const __m256i low = _mm256_set1_epi32(0xFF);
  StoreBytes(p, _mm256_and_si256(low, _mm256_castps_si256(x.lo)), _mm256_and_si256(low, _mm256_castps_si256(x.hi)));
}

inline Vec16 Set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline Vec16 Add(Vec16 a, Vec16 b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline Vec16 Sub(Vec16 a, Vec16 b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
inline Vec16 Mul(Vec16 a, Vec16 b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline Vec16 Div(Vec16 a, Vec16 b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
inline Vec16 Fma(Vec16 a, Vec16 b, Vec16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
// b where either is NaN.
inline Vec16 Min(Vec16 a, Vec16 b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline Vec16 Max(Vec16 a, Vec16 b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
// Of numbers >= 0; NaN is the largest, then infinity.
inline __m256 MaxBits(__m256 a, __m256 b) {
  return _mm256_castsi256_ps(_mm256_max_epu32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}
inline Vec16 MaxBits(Vec16 a, Vec16 b) { return {MaxBits(a.lo, b.lo), MaxBits(a.hi, b.hi)}; }
inline Vec16 Abs(Vec16 x) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  return {_mm256_andnot_ps(sign, x.lo), _mm256_andnot_ps(sign, x.hi)};
}
inline Vec16 CopySign(Vec16 magnitude, Vec16 sign) {
  const __m256 bit = _mm256_set1_ps(-0.0F);
  return {_mm256_or_ps(magnitude.lo, _mm256_and_ps(sign.lo, bit)),
          _mm256_or_ps(magnitude.hi, _mm256_and_ps(sign.hi, bit))};
}
// To the nearest integer, half to even.
inline Vec16 Round(Vec16 x) {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(x.lo, kNearest), _mm256_round_ps(x.hi, kNearest)};
}
inline __m256 PowerOfTwo(__m256 n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
// 2^n for integers n in [-126, 127].
inline Vec16 PowerOfTwo(Vec16 n) { return {PowerOfTwo(n.lo), PowerOfTwo(n.hi)}; }
inline __m256 AddToExponent(__m256 x, __m256 bits) {
  return _mm256_castsi256_ps(
      _mm256_add_epi32(_mm256_castps_si256(x), _mm256_slli_epi32(_mm256_castps_si256(bits), 23)));
}
// x 2^n for results that are normal numbers, n the integer in the lowest nine bits of each lane of `bits`.
inline Vec16 AddToExponent(Vec16 x, Vec16 bits) { return {AddToExponent(x.lo, bits.lo), AddToExponent(x.hi, bits.hi)}; }
// x, but 0 where t < limit.
inline Vec16 ZeroWhereLess(Vec16 t, Vec16 limit, Vec16 x) {
  return {_mm256_and_ps(_mm256_cmp_ps(t.lo, limit.lo, _CMP_NLT_UQ), x.lo),
          _mm256_and_ps(_mm256_cmp_ps(t.hi, limit.hi, _CMP_NLT_UQ), x.hi)};
}
inline __m256 KeepNaN(__m256 nans, __m256 x) { return _mm256_blendv_ps(nans, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q)); }
// nans, but x where that is NaN.
inline Vec16 KeepNaN(Vec16 nans, Vec16 x) { return {KeepNaN(nans.lo, x.lo), KeepNaN(nans.hi, x.hi)}; }
// Whether a < b in every lane; NaN is not.
inline bool AllLess(Vec16 a, Vec16 b) {
  return _mm256_movemask_ps(
             _mm256_or_ps(_mm256_cmp_ps(a.lo, b.lo, _CMP_NLT_UQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_NLT_UQ))) == 0;
}
struct Ints16 {
  __m256i lo;
  __m256i hi;
};
inline __m256i Load8Ints(const std::int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline Ints16 LoadInts(const std::int32_t* p) { return {Load8Ints(p), Load8Ints(p + 8)}; }
inline void StoreInts(std::int32_t* p, Ints16 x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x.lo);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), x.hi);
}
inline Ints16 SetInts(std::int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline Ints16 Add(Ints16 a, Ints16 b) { return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)}; }
inline Ints16 And(Ints16 a, Ints16 b) { return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)}; }
inline Ints16 Or(Ints16 a, Ints16 b) { return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)}; }
inline Ints16 ShiftLeft(Ints16 x, int bits) { return {_mm256_slli_epi32(x.lo, bits), _mm256_slli_epi32(x.hi, bits)}; }
// To the nearest, half to even.
inline Ints16 ToInts(Vec16 x) { return {_mm256_cvtps_epi32(x.lo), _mm256_cvtps_epi32(x.hi)}; }
inline Vec16 ToFloats(Ints16 x) { return {_mm256_cvtepi32_ps(x.lo), _mm256_cvtepi32_ps(x.hi)}; }
inline Ints16 Multiply(Ints16 a, std::int32_t b) {
  const __m256i factor = _mm256_set1_epi32(b);
  return {_mm256_mullo_epi32(factor, a.lo), _mm256_mullo_epi32(factor, a.hi)};
}
// f32(a - b), the difference in s32.
inline Vec16 Difference(Ints16 a, Ints16 b) {
  return {_mm256_cvtepi32_ps(_mm256_sub_epi32(a.lo, b.lo)), _mm256_cvtepi32_ps(_mm256_sub_epi32(a.hi, b.hi))};
}
// table[i] in each lane, i the lowest four bits of the lane that the lookup was made of. table: 64-byte aligned.
struct Lookup16 {
  __m256i lo, hi;             // the lowest three bits choose in a half of the table
  __m256 upper_lo, upper_hi;  // the sign bit chooses the half
};
inline Lookup16 MakeLookup(Vec16 x) {
  const __m256i lo = _mm256_castps_si256(x.lo);
  const __m256i hi = _mm256_castps_si256(x.hi);
  return {lo, hi, _mm256_castsi256_ps(_mm256_slli_epi32(lo, 28)), _mm256_castsi256_ps(_mm256_slli_epi32(hi, 28))};
}
inline Vec16 LookUp(const float (&table)[16], const Lookup16& lookup) {
  const __m256 lower = _mm256_load_ps(table);
  const __m256 upper = _mm256_load_ps(table + 8);
  const auto half = [&](__m256i index, __m256 is_upper) {
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(lower, index), _mm256_permutevar8x32_ps(upper, index), is_upper);
  };
  return {half(lookup.lo, lookup.upper_lo), half(lookup.hi, lookup.upper_hi)};
}

inline __m256 LowHalf(Vec16 x) { return x.lo; }
inline __m256 HighHalf(Vec16 x) { return x.hi; }

}  // namespace
}  // namespace laconic::kernels
