// gemm_u8s8 for the levels with vpdpbusd: on 512 bits, or on 256 in its VEX form (AVX-VNNI).
#pragma once

#include "kernels/gemm_u8s8/simd.h"
#include "kernels/tile_simd.h"
#include "kernels/vpdpbusd.h"

namespace laconic::kernels {
namespace {

#ifdef __AVX512F__
using Codes = __m512i;
using Weights16 = __m512i;
using Sums16 = __m512i;

inline void DotProduct(Sums16& sum, Codes codes, Weights16 weights) { Vpdpbusd(sum, codes, weights); }
inline Codes Broadcast(std::int32_t codes) { return _mm512_set1_epi32(codes); }
inline Weights16 LoadWeights(const std::int8_t* p) { return _mm512_load_si512(p); }
inline Sums16 ZeroSums() { return _mm512_setzero_si512(); }
inline void StoreSums(std::int32_t* p, Sums16 sums) { _mm512_store_si512(p, sums); }
#else
using Codes = __m256i;
struct Weights16 {
  __m256i lo;
  __m256i hi;
};
using Sums16 = Weights16;

inline void DotProduct(Sums16& sum, Codes codes, Weights16 weights) {
  Vpdpbusd(sum.lo, codes, weights.lo);
  Vpdpbusd(sum.hi, codes, weights.hi);
}
inline Codes Broadcast(std::int32_t codes) { return _mm256_set1_epi32(codes); }
inline __m256i Load32Bytes(const void* p) { return _mm256_load_si256(static_cast<const __m256i*>(p)); }
inline Weights16 LoadWeights(const std::int8_t* p) { return {Load32Bytes(p), Load32Bytes(p + 32)}; }
inline Sums16 ZeroSums() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
inline void StoreSums(std::int32_t* p, Sums16 sums) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(p), sums.lo);
  _mm256_store_si256(reinterpret_cast<__m256i*>(p + 8), sums.hi);
}
#endif

// Four consecutive codes of a row, in every lane; count < 4 at the end of the row: the others 0.
inline Codes BroadcastCodes(const std::uint8_t* a, std::int64_t count) {
  std::int32_t codes = 0;
  __builtin_memcpy(&codes, a, static_cast<unsigned long>(count));
  return Broadcast(codes);
}

// sums[r, j] = sum_p a[r, p] * w[p, j] for kRows rows and one panel [k / 4][16 * kVecs][4]. What lies `fetch` bytes
// after the panel goes to L2 meanwhile: weights that come from L3 or memory arrive in time.
template <int kRows, int kVecs>
[[gnu::noinline]] void SumTile(std::int64_t k, const std::uint8_t* a, std::int64_t a_stride, const std::int8_t* panel,
                               std::int64_t fetch, std::int32_t* out) {
  Sums16 sums[kRows][kVecs];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      sums[r][v] = ZeroSums();
    }
  }
  const auto step = [&](std::int64_t p, std::int64_t count) __attribute__((always_inline)) {
    Weights16 weights[kVecs];
#pragma GCC unroll 4
    for (std::int64_t v = 0; v < kVecs; ++v) {
      weights[v] = LoadWeights(panel + p * kVecs * kLanes + v * 64);
      _mm_prefetch(reinterpret_cast<const char*>(panel + p * kVecs * kLanes + v * 64 + fetch), _MM_HINT_T1);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Codes codes = BroadcastCodes(a + r * a_stride + p, count);
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) {
        DotProduct(sums[r][v], codes, weights[v]);
      }
    }
  };
  std::int64_t p = 0;
  for (; p + 4 <= k; p += 4) {
    step(p, 4);
  }
  if (p < k) {
    step(p, k - p);
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      StoreSums(out + (r * kVecs + v) * kLanes, sums[r][v]);
    }
  }
}

template <int kVecs>
inline void RunTile(const GemmU8S8Args& args, std::int64_t row, std::int64_t rows, std::int64_t column) {
  constexpr std::int64_t kPanel = kVecs * kLanes;
  const auto* panels = static_cast<const std::int8_t*>(args.packed) + SumsBytes(args.n, kPanel);
  const std::int64_t depth = RoundUp(args.k, 4);
  alignas(64) std::int32_t sums[MaxRows(kVecs) * kPanel];
  // The first rows to use a panel fetch the next one.
  const std::int64_t fetch = row == 0 ? kPanel * depth : 0;
  WithRows<MaxRows(kVecs)>(rows, [&]<int kRows>() {
    SumTile<kRows, kVecs>(args.k, args.a + row * args.a_stride, args.a_stride, panels + column * depth, fetch, sums);
  });
  WriteSums<kVecs>(args, row, rows, column, sums);
}

template <int kVecs>
inline void RunPanels(const GemmU8S8Args& args) {
  ForEachTile(
      args.m, args.k, MaxRows(kVecs), args.n_begin, args.n_end, kVecs * kLanes,
      [&](std::int64_t row, std::int64_t rows, std::int64_t column) { RunTile<kVecs>(args, row, rows, column); });
}

}  // namespace
}  // namespace laconic::kernels
