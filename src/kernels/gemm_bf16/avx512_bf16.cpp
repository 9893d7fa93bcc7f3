#include "kernels/gemm_bf16/simd.h"
#include "kernels/panels.h"
#include "kernels/tile_simd.h"

namespace laconic::kernels {
namespace {

// sum += both products of each lane's pairs. One instruction in asm, so that g++ 12 keeps `sum` in its register.
inline void DotProduct(__m512& sum, __m512i a, __m512i b) { asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b)); }

// sums[r, j] = sum_p a[r, p] * w[p, j] for kRows rows and one panel [pairs][16 * kVecs][2]. What lies `fetch` elements
// after the panel goes to L2 meanwhile: weights that come from L3 or memory arrive in time.
template <int kRows, int kVecs>
[[gnu::noinline]] void SumTile(std::int64_t pairs, const std::uint16_t* a, std::int64_t a_stride,
                               const std::uint16_t* panel, std::int64_t fetch, float* out) {
  __m512 sums[kRows][kVecs];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      sums[r][v] = _mm512_setzero_ps();
    }
  }
  for (std::int64_t p = 0; p < pairs; ++p) {
    __m512i weights[kVecs];
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      const std::uint16_t* at = panel + (p * kVecs + v) * 2 * kLanes;
      weights[v] = _mm512_load_si512(at);
      _mm_prefetch(reinterpret_cast<const char*>(at + fetch), _MM_HINT_T1);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      std::int32_t pair = 0;
      __builtin_memcpy(&pair, a + r * a_stride + 2 * p, sizeof pair);
      const __m512i values = _mm512_set1_epi32(pair);
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) {
        DotProduct(sums[r][v], values, weights[v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      _mm512_store_ps(out + (r * kVecs + v) * kLanes, sums[r][v]);
    }
  }
}

template <int kVecs>
inline void RunTile(const GemmBF16Args& args, std::int64_t row, std::int64_t rows, std::int64_t column) {
  constexpr std::int64_t kPanel = kVecs * kLanes;
  const std::int64_t depth = RoundUp(args.k, 2);
  alignas(64) float sums[MaxRows(kVecs) * kPanel];
  // The first rows to use a panel fetch the next one.
  const std::int64_t fetch = row == 0 ? kPanel * depth : 0;
  const auto* panel = static_cast<const std::uint16_t*>(args.packed) + column * depth;
  WithRows<MaxRows(kVecs)>(rows, [&]<int kRows>() {
    SumTile<kRows, kVecs>(depth / 2, args.a + row * args.a_stride, args.a_stride, panel, fetch, sums);
  });
  WriteSums<kVecs>(args, row, rows, column, sums);
}

template <int kVecs>
inline void RunPanels(const GemmBF16Args& args) {
  ForEachTile(
      args.m, 2 * args.k, MaxRows(kVecs), args.n_begin, args.n_end, kVecs * kLanes,
      [&](std::int64_t row, std::int64_t rows, std::int64_t column) { RunTile<kVecs>(args, row, rows, column); });
}

}  // namespace

void RoundRowsAvx512BF16(const RoundRowsArgs& args) noexcept {
  for (std::int64_t i = 0; i < args.rows; ++i) {
    const float* x = args.x + i * args.x_stride;
    std::uint16_t* out = args.out + i * args.out_stride;
    std::int64_t j = 0;
    for (; j + 2 * kLanes <= args.cols; j += 2 * kLanes) {
      const __m512bh pair = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + j + kLanes), _mm512_loadu_ps(x + j));
      _mm512_storeu_si512(out + j, reinterpret_cast<__m512i>(pair));
    }
    for (; j < args.cols; j += kLanes) {
      const std::int64_t left = args.cols - j;
      _mm256_mask_storeu_epi16(out + j, Lanes(RoundUp(left, 2)), Round(LoadPart(x + j, left).v));
    }
  }
}

void GemmBF16Avx512BF16(const GemmBF16Args& args) noexcept {
  WithPanelVecs(args.n, [&]<int kVecs>() { RunPanels<kVecs>(args); });
}

}  // namespace laconic::kernels
