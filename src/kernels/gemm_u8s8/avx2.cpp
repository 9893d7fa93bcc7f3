// Two ways to exact sums. vpmaddubsw takes four products a lane, but saturates sums of two, which 255 * 127 * 2 would:
// it multiplies the groups of weights that cannot get there, in one of the three ways to pair them; a row's codes are
// there in each. vpmaddwd takes two products, of codes and weights widened to s16, and never saturates: it multiplies
// the others, some 12 % of a model's (with one way to pair them 37 %). On a Zen 4, as shares of the peak of vpmaddubsw:
// all groups by vpmaddubsw 93 %, by vpmaddwd 68 %. In panels of 8 columns more groups are safe, but two such panels
// share no codes: 6 to 9 % slower on whole models.
#include "kernels/gemm_u8s8/avx2_panels.h"
#include "kernels/gemm_u8s8/simd.h"
#include "kernels/tile_simd.h"

namespace laconic::kernels {
namespace {

constexpr int kMaxTileRows = 5;  // 10 registers accumulate
// Codes prepared at a time, on the stack: at least one row, of whatever length.
constexpr std::int64_t kMaxCodes = RoundUp(kMaxGemmU8S8K, kLanes) + kLanes;

// Rows as the tiles read them: each one's whole groups in all pairings, and its codes as s16 with zeros after them.
struct Rows {
  const std::uint8_t* paired;  // [kAvx2Pairings][num_whole][4] a row
  std::int64_t paired_stride;
  const std::int16_t* wide;
  std::int64_t wide_stride;
};

inline __m256i BroadcastFourBytes(const void* p) {
  std::int32_t bytes = 0;
  __builtin_memcpy(&bytes, p, sizeof(bytes));
  return _mm256_set1_epi32(bytes);
}
inline __m256i Load32Bytes(const void* p) { return _mm256_load_si256(static_cast<const __m256i*>(p)); }

// `whole`: 4 * num_whole codes of a row, in all pairings.
inline void PairRow(const std::uint8_t* row, std::int64_t whole, std::uint8_t* out) {
  const __m256i groups = _mm256_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12,  //
                                          0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12);
  for (const std::int8_t(&order)[4] : kAvx2Order) {
    const __m256i from = _mm256_add_epi8(groups, BroadcastFourBytes(order));
    std::int64_t p = 0;
    for (; p + 32 <= whole; p += 32) {
      const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + p));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + p), _mm256_shuffle_epi8(codes, from));
    }
    for (; p < whole; ++p) {
      out[p] = row[p / 4 * 4 + order[p % 4]];
    }
    out += whole;
  }
}

inline void WidenRow(const std::uint8_t* row, std::int64_t k, std::int64_t wide_stride, std::int16_t* out) {
  std::int64_t p = 0;
  for (; p + kLanes <= k; p += kLanes) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(out + p), _mm256_cvtepu8_epi16(Load16Bytes(row + p)));
  }
  for (; p < wide_stride; ++p) {
    out[p] = static_cast<std::int16_t>(p < k ? row[p] : 0);
  }
}

// sum += the products of four u8 and s8 in each lane, or of two s16. In asm, so that g++ 12 keeps `sum` in its register
// and adds each product at once; with intrinsics it spills.
inline void AddFour(__m256i& sum, __m256i codes, __m256i weights, __m256i ones) {
  __m256i products;
  asm("vpmaddubsw %3, %2, %1\n\tvpmaddwd %4, %1, %1\n\tvpaddd %1, %0, %0"
      : "+x"(sum), "=&x"(products)
      : "x"(codes), "x"(weights), "x"(ones));
}
inline void AddTwo(__m256i& sum, __m256i codes, __m256i weights) {
  __m256i products;
  asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(products) : "x"(codes), "x"(weights));
}

// sums[r, j] = sum_p a[r, p] * w[p, j] for kRows rows and the 16 columns of a panel. What lies `fetch` bytes after its
// weights goes to L2 meanwhile: weights that come from L3 or memory arrive in time.
template <int kRows>
[[gnu::noinline]] void SumTile(const Rows& rows, const Avx2Panel& panel, std::int64_t fetch, std::int32_t* sums) {
  __m256i lo[kRows];
  __m256i hi[kRows];
#pragma GCC unroll 5
  for (int r = 0; r < kRows; ++r) {
    lo[r] = _mm256_setzero_si256();
    hi[r] = _mm256_setzero_si256();
  }
  const __m256i ones = _mm256_set1_epi16(1);
  const std::int8_t* weights = panel.weights;
  std::int64_t i = 0;
  for (; i < panel.num_safe; ++i, weights += kAvx2GroupBytes) {
    const std::uint8_t* codes = rows.paired + FirstOfGroup(panel, i, kAvx2Pairings * panel.num_whole);
    _mm_prefetch(reinterpret_cast<const char*>(weights + fetch), _MM_HINT_T1);
    const __m256i w_lo = Load32Bytes(weights);
    const __m256i w_hi = Load32Bytes(weights + 32);
#pragma GCC unroll 5
    for (int r = 0; r < kRows; ++r) {
      const __m256i four = BroadcastFourBytes(codes + r * rows.paired_stride);
      AddFour(lo[r], four, w_lo, ones);
      AddFour(hi[r], four, w_hi, ones);
    }
  }
  for (; i < panel.num_groups; ++i, weights += kAvx2GroupBytes) {
    _mm_prefetch(reinterpret_cast<const char*>(weights + fetch), _MM_HINT_T1);
    const std::int16_t* codes = rows.wide + FirstOfGroup(panel, i, panel.num_groups);
#pragma GCC unroll 2
    for (std::int64_t pair = 0; pair < 2; ++pair) {
      const __m256i w_lo = _mm256_cvtepi8_epi16(Load16Bytes(weights + pair * 32));
      const __m256i w_hi = _mm256_cvtepi8_epi16(Load16Bytes(weights + pair * 32 + 16));
#pragma GCC unroll 5
      for (int r = 0; r < kRows; ++r) {
        const __m256i two = BroadcastFourBytes(codes + r * rows.wide_stride + pair * 2);
        AddTwo(lo[r], two, w_lo);
        AddTwo(hi[r], two, w_hi);
      }
    }
  }
  auto* out = reinterpret_cast<__m256i*>(sums);
#pragma GCC unroll 5
  for (std::int64_t r = 0; r < kRows; ++r) {
    _mm256_store_si256(out + 2 * r, lo[r]);
    _mm256_store_si256(out + 2 * r + 1, hi[r]);
  }
}

// All columns of `count` rows, which have room in kMaxCodes.
inline void RunRows(const GemmU8S8Args& args, std::int64_t row, std::int64_t count, std::int64_t wide_stride) {
  alignas(32) std::int16_t wide[kMaxCodes];
  alignas(32) std::uint8_t paired[kAvx2Pairings * kMaxCodes];
  const std::int64_t whole = args.k / 4 * 4;
  const std::int64_t paired_stride = kAvx2Pairings * whole;
  for (std::int64_t r = 0; r < count; ++r) {
    const std::uint8_t* codes = args.a + (row + r) * args.a_stride;
    PairRow(codes, whole, paired + r * paired_stride);
    WidenRow(codes, args.k, wide_stride, wide + r * wide_stride);
  }
  for (std::int64_t column = args.n_begin; column < args.n_end; column += kLanes) {
    const Avx2Panel panel = PanelAt(args.packed, args.k, args.n, column);
    for (std::int64_t i = 0; i < panel.num_groups; i += 32) {  // the next panel's order, a line at a time
      _mm_prefetch(reinterpret_cast<const char*>(panel.order + i) + Avx2PanelBytes(args.k), _MM_HINT_T1);
    }
    ForEachRowTile(count, kMaxTileRows, [&](std::int64_t first, std::int64_t rows) {
      alignas(32) std::int32_t sums[kMaxTileRows * kLanes];
      const std::int64_t fetch = first == 0 ? Avx2PanelBytes(args.k) : 0;  // the next panel, once
      const Rows tile = {paired + first * paired_stride, paired_stride, wide + first * wide_stride, wide_stride};
      WithRows<kMaxTileRows>(rows, [&]<int kRows>() { SumTile<kRows>(tile, panel, fetch, sums); });
      WriteSums<1>(args, row + first, rows, column, sums);
    });
  }
}

}  // namespace

void GemmU8S8Avx2(const GemmU8S8Args& args) noexcept {
  const std::int64_t wide_stride = RoundUp(args.k, kLanes);
  const std::int64_t fit = kMaxCodes / (wide_stride + 1);  // k may be 0
  const std::int64_t chunk = fit < kMaxTileRows ? fit : fit / kMaxTileRows * kMaxTileRows;
  for (std::int64_t row = 0; row < args.m; row += chunk) {
    RunRows(args, row, args.m - row < chunk ? args.m - row : chunk, wide_stride);
  }
}

}  // namespace laconic::kernels
