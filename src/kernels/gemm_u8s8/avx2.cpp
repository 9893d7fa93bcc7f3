#include "kernels/gemm_u8s8/simd.h"
#include "kernels/tile_simd.h"

namespace laconic::kernels {
namespace {

constexpr int kRows = 4;              // 8 registers accumulate
constexpr std::int64_t kPairs = 256;  // of codes widened at a time

// Two consecutive codes of each row as s16 pairs, [rows][kPairs], zeros past k.
inline void WidenRows(std::int64_t rows, std::int64_t count, const std::uint8_t* a, std::int64_t a_stride,
                      std::int32_t* pairs) {
  for (std::int64_t r = 0; r < rows; ++r) {
    auto* out = reinterpret_cast<std::int16_t*>(pairs + r * kPairs);
    std::int64_t p = 0;
    for (; p + kLanes <= count; p += kLanes) {
      const __m256i wide = _mm256_cvtepu8_epi16(Load16Bytes(a + r * a_stride + p));
      _mm256_store_si256(reinterpret_cast<__m256i*>(out + p), wide);
    }
    for (; p < count; ++p) {
      out[p] = a[r * a_stride + p];
    }
    if (count % 2 != 0) {
      out[count] = 0;
    }
  }
}

// sums[r, j] += sum of both products of a pair. vpmaddwd takes s16 and sums into s32, so nothing saturates, as
// vpmaddubsw would: 255 * 127 * 2 > 32767.
template <int kCount>
[[gnu::noinline]] void AddPairs(std::int64_t pairs, const std::int32_t* a, const std::int8_t* panel,
                                std::int32_t* sums) {
  auto* out = reinterpret_cast<__m256i*>(sums);
  __m256i lo[kCount];
  __m256i hi[kCount];
#pragma GCC unroll 4
  for (int r = 0; r < kCount; ++r) {
    lo[r] = _mm256_load_si256(out + 2 * r);
    hi[r] = _mm256_load_si256(out + 2 * r + 1);
  }
  for (std::int64_t p = 0; p < pairs; ++p) {
    const __m256i w_lo = _mm256_cvtepi8_epi16(Load16Bytes(panel + 32 * p));
    const __m256i w_hi = _mm256_cvtepi8_epi16(Load16Bytes(panel + 32 * p + 16));
#pragma GCC unroll 4
    for (int r = 0; r < kCount; ++r) {
      const __m256i codes = _mm256_set1_epi32(a[r * kPairs + p]);
      lo[r] = _mm256_add_epi32(lo[r], _mm256_madd_epi16(codes, w_lo));
      hi[r] = _mm256_add_epi32(hi[r], _mm256_madd_epi16(codes, w_hi));
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kCount; ++r) {
    _mm256_store_si256(out + 2 * r, lo[r]);
    _mm256_store_si256(out + 2 * r + 1, hi[r]);
  }
}

// sums[r, j] = sum_p a[r, p] * w[p, j] for one panel [k / 2][16][2].
inline void SumTile(std::int64_t rows, std::int64_t k, const std::uint8_t* a, std::int64_t a_stride,
                    const std::int8_t* panel, std::int32_t* sums) {
  using AddPairsFn = void (*)(std::int64_t, const std::int32_t*, const std::int8_t*, std::int32_t*);
  static constexpr AddPairsFn kAddPairs[] = {&AddPairs<1>, &AddPairs<2>, &AddPairs<3>, &AddPairs<4>};
  alignas(32) std::int32_t pairs[kRows * kPairs];
  for (std::int64_t i = 0; i < rows * kLanes; ++i) {
    sums[i] = 0;
  }
  for (std::int64_t p = 0; p < k; p += 2 * kPairs) {
    const std::int64_t count = k - p < 2 * kPairs ? k - p : 2 * kPairs;
    WidenRows(rows, count, a + p, a_stride, pairs);
    kAddPairs[rows - 1]((count + 1) / 2, pairs, panel + p * kLanes, sums);
  }
}

}  // namespace

void GemmU8S8Avx2(const GemmU8S8Args& args) noexcept {
  const auto* panels = static_cast<const std::int8_t*>(args.packed) + SumsBytes(args.n, kLanes);
  const std::int64_t depth = RoundUp(args.k, 2);
  ForEachTile(args.m, args.k, kRows, args.n_begin, args.n_end, kLanes,
              [&](std::int64_t row, std::int64_t rows, std::int64_t column) {
                alignas(32) std::int32_t sums[kRows * kLanes];
                SumTile(rows, args.k, args.a + row * args.a_stride, args.a_stride, panels + column * depth, sums);
                const std::int64_t left = args.n_end - column;
                WriteSums(args, row, rows, column, left < kLanes ? left : kLanes, sums, kLanes);
              });
}

}  // namespace laconic::kernels
