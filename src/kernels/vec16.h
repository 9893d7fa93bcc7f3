// Sixteen f32 lanes on every vector level, so that a kernel is written once (in its family's simd.h) and gives the same
// bits on all of them: one __m512, or two __m256. Everything is in an unnamed namespace, so that no file compiled for
// one ISA hands its copy to the whole program. Included only by files compiled with an ISA's flags.
#pragma once

#include <cstdint>

#ifdef __AVX512F__
#include "kernels/vec16_avx512.h"
#else
#include "kernels/vec16_avx2.h"
#endif

namespace laconic::kernels {
namespace {

inline constexpr std::int64_t kLanes = 16;

// What, added to a number of less than 2^22, leaves the integer nearest to it in the lowest bits.
inline constexpr float kRoundToBits = 12582912.0F;  // 1.5 * 2^23

// The first n lanes (16 if n is more); the others 0. Reads nothing past them. No tail calls a function, as a loop that
// g++ makes a memcpy would: in a loop around it every vector register would have to wait in memory.
inline Vec16 LoadPart(const float* p, std::int64_t n) { return n >= kLanes ? Load(p) : LoadFirst(p, n); }
template <typename T>
inline Vec16 LoadPart(const T* p, std::int64_t n) {
  if (n >= kLanes) {
    return Load(p);
  }
  T lanes[kLanes] = {};
  for (std::int64_t i = 0; i < n; ++i) {
    lanes[i] = p[i];
  }
  return Load(lanes);
}

// Writes the first n lanes (16 if n is more).
inline void StorePart(float* p, Vec16 x, std::int64_t n) {
  if (n >= kLanes) {
    Store(p, x);
  } else {
    StoreFirst(p, x, n);
  }
}
template <typename StoreAll>
inline void StorePartBytes(std::uint8_t* p, std::int64_t n, const StoreAll& store_all) {
  if (n >= kLanes) {
    store_all(p);
    return;
  }
  std::uint8_t lanes[kLanes];
  store_all(lanes);
  const std::uint8_t* from = lanes;
  const auto copy = [&]<typename Part>(Part part) {
    if ((n & static_cast<std::int64_t>(sizeof part)) != 0) {
      __builtin_memcpy(&part, from, sizeof part);
      __builtin_memcpy(p, &part, sizeof part);
      from += sizeof part;
      p += sizeof part;
    }
  };
  copy(std::uint64_t{});
  copy(std::uint32_t{});
  copy(std::uint16_t{});
  copy(std::uint8_t{});
}
// The same of integers 0..255, as bytes.
inline void StorePartU8(std::uint8_t* p, Vec16 x, std::int64_t n) {
  StorePartBytes(p, n, [&](std::uint8_t* to) { StoreU8(to, x); });
}
// The same of the lowest byte of each lane.
inline void StorePartLowBytes(std::uint8_t* p, Vec16 x, std::int64_t n) {
  StorePartBytes(p, n, [&](std::uint8_t* to) { StoreLowBytes(to, x); });
}

// The order of the additions is part of the result: halves, quarters, eighths.
inline float ReduceAdd(Vec16 x) {
  const __m256 s8 = _mm256_add_ps(LowHalf(x), HighHalf(x));
  const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

inline float ReduceMax(Vec16 x) {
  const __m256 m8 = _mm256_max_ps(LowHalf(x), HighHalf(x));
  const __m128 m4 = _mm_max_ps(_mm256_castps256_ps128(m8), _mm256_extractf128_ps(m8, 1));
  const __m128 m2 = _mm_max_ps(m4, _mm_movehl_ps(m4, m4));
  return _mm_cvtss_f32(_mm_max_ss(m2, _mm_movehdup_ps(m2)));
}

}  // namespace
}  // namespace laconic::kernels
