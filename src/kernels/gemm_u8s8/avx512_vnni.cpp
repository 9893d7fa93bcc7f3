#include "kernels/gemm_u8s8/simd.h"
#include "kernels/tile_simd.h"

namespace laconic::kernels {
namespace {

// sum += the four products of u8 a and s8 b in each lane. One instruction in asm, so that g++ 12 keeps `sum` in its
// register; with the intrinsic it spills.
inline void DotProduct(__m512i& sum, __m512i a, __m512i b) { asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b)); }

// Four consecutive codes of a row, in every lane; count < 4 at the end of the row: the others 0.
inline __m512i BroadcastCodes(const std::uint8_t* a, std::int64_t count) {
  std::int32_t codes = 0;
  __builtin_memcpy(&codes, a, static_cast<unsigned long>(count));
  return _mm512_set1_epi32(codes);
}

// sums[r, j] = sum_p a[r, p] * w[p, j] for kRows rows and one panel [k / 4][16 * kVecs][4]. What lies `fetch` bytes
// after the panel goes to L2 meanwhile: weights that come from L3 or memory arrive in time.
template <int kRows, int kVecs>
[[gnu::noinline]] void SumTile(std::int64_t k, const std::uint8_t* a, std::int64_t a_stride, const std::int8_t* panel,
                               std::int64_t fetch, std::int32_t* out) {
  __m512i sums[kRows][kVecs];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      sums[r][v] = _mm512_setzero_si512();
    }
  }
  const auto step = [&](std::int64_t p, std::int64_t count) __attribute__((always_inline)) {
    __m512i weights[kVecs];
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      weights[v] = _mm512_load_si512(panel + p * kVecs * kLanes + v * 64);
      _mm_prefetch(reinterpret_cast<const char*>(panel + p * kVecs * kLanes + v * 64 + fetch), _MM_HINT_T1);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m512i codes = BroadcastCodes(a + r * a_stride + p, count);
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
      _mm512_store_si512(out + (r * kVecs + v) * kLanes, sums[r][v]);
    }
  }
}

using SumTileFn = void (*)(std::int64_t, const std::uint8_t*, std::int64_t, const std::int8_t*, std::int64_t,
                           std::int32_t*);

template <int kVecs>
inline SumTileFn SumTileOfRows(std::int64_t rows) {
  if constexpr (MaxRows(kVecs) == 8) {
    static constexpr SumTileFn kTiles[] = {&SumTile<1, kVecs>, &SumTile<2, kVecs>, &SumTile<3, kVecs>,
                                           &SumTile<4, kVecs>, &SumTile<5, kVecs>, &SumTile<6, kVecs>,
                                           &SumTile<7, kVecs>, &SumTile<8, kVecs>};
    return kTiles[rows - 1];
  } else {
    static constexpr SumTileFn kTiles[] = {&SumTile<1, kVecs>, &SumTile<2, kVecs>, &SumTile<3, kVecs>,
                                           &SumTile<4, kVecs>, &SumTile<5, kVecs>, &SumTile<6, kVecs>};
    return kTiles[rows - 1];
  }
}

template <int kVecs>
inline void RunTile(const GemmU8S8Args& args, std::int64_t row, std::int64_t rows, std::int64_t column) {
  constexpr std::int64_t kPanel = kVecs * kLanes;
  const auto* panels = static_cast<const std::int8_t*>(args.packed) + SumsBytes(args.n, kPanel);
  const std::int64_t depth = RoundUp(args.k, 4);
  alignas(64) std::int32_t sums[MaxRows(kVecs) * kPanel];
  // The first rows to use a panel fetch the next one.
  SumTileOfRows<kVecs>(rows)(args.k, args.a + row * args.a_stride, args.a_stride, panels + column * depth,
                             row == 0 ? kPanel * depth : 0, sums);
  WriteSums<kVecs>(args, row, rows, column, sums);
}

template <int kVecs>
inline void RunPanels(const GemmU8S8Args& args) {
  ForEachTile(
      args.m, args.k, MaxRows(kVecs), args.n_begin, args.n_end, kVecs * kLanes,
      [&](std::int64_t row, std::int64_t rows, std::int64_t column) { RunTile<kVecs>(args, row, rows, column); });
}

}  // namespace

void GemmU8S8Avx512Vnni(const GemmU8S8Args& args) noexcept {
  switch (WideColumns(args.n)) {
    case 16:
      return RunPanels<1>(args);
    case 48:
      return RunPanels<3>(args);
    default:
      return RunPanels<4>(args);
  }
}

}  // namespace laconic::kernels
