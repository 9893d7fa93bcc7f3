// Three ways to exact sums. vpmaddubsw takes four products a lane, but saturates sums of two, which 255 * 127 * 2
// would: it multiplies the groups of weights that cannot get there, in one of the three ways to pair them; a row's
// codes are there in each. Two groups whose sums of two cannot pass s16 when added either are widened together: 3 steps
// on the ports that multiply instead of 4. vpmaddwd takes two products, of codes and weights widened to s16, and never
// saturates: it multiplies the others. Of a BERT-base's groups 61 % go in twos, 27 % alone, 12 % by vpmaddwd; on a Zen
// 4, as shares of the peak of vpmaddubsw: all in twos 114 %, all alone 93 %, all by vpmaddwd 68 %. In panels of 8
// columns more groups are safe, but two such panels share no codes: 6 to 9 % slower on whole models.
#include "kernels/gemm_u8s8/avx2_panels.h"
#include "kernels/gemm_u8s8/simd.h"
#include "kernels/tile_simd.h"

namespace laconic::kernels {
namespace {

constexpr int kMaxTileRows = 4;  // 8 registers accumulate
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
// sum_lo, sum_hi += the products of 4 codes with the weights of 8 columns each, and of 4 others with theirs: the sums
// of two products that meet are added in s16. In asm, and with registers that are named: else g++ 12 spills.
inline void AddEight(__m256i& sum_lo, __m256i& sum_hi, const std::uint8_t* codes0, const std::uint8_t* codes1,
                     const __m256i (&w0)[2], const __m256i (&w1)[2]) {
  alignas(32) static constexpr std::int16_t kOnes[kLanes] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  asm("vpbroadcastd %[codes0], %%ymm14\n\tvpbroadcastd %[codes1], %%ymm15\n\t"
      "vpmaddubsw %[w0_lo], %%ymm14, %%ymm12\n\tvpmaddubsw %[w1_lo], %%ymm15, %%ymm13\n\t"
      "vpmaddubsw %[w0_hi], %%ymm14, %%ymm14\n\tvpmaddubsw %[w1_hi], %%ymm15, %%ymm15\n\t"
      "vpaddw %%ymm13, %%ymm12, %%ymm12\n\tvpaddw %%ymm15, %%ymm14, %%ymm14\n\t"
      "vpmaddwd %[ones], %%ymm12, %%ymm12\n\tvpmaddwd %[ones], %%ymm14, %%ymm14\n\t"
      "vpaddd %%ymm12, %[sum_lo], %[sum_lo]\n\tvpaddd %%ymm14, %[sum_hi], %[sum_hi]"
      : [sum_lo] "+x"(sum_lo), [sum_hi] "+x"(sum_hi)
      : [codes0] "m"(*reinterpret_cast<const std::uint8_t(*)[4]>(codes0)),
        [codes1] "m"(*reinterpret_cast<const std::uint8_t(*)[4]>(codes1)), [w0_lo] "x"(w0[0]), [w0_hi] "x"(w0[1]),
        [w1_lo] "x"(w1[0]), [w1_hi] "x"(w1[1]), [ones] "m"(kOnes)
      : "xmm12", "xmm13", "xmm14", "xmm15");
}
inline void AddTwo(__m256i& sum, __m256i codes, __m256i weights) {
  __m256i products;
  asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(products) : "x"(codes), "x"(weights));
}

// The sums of a tile of rows and the 16 columns of a panel.
template <int kRows>
struct TileSums {
  __m256i lo[kRows];
  __m256i hi[kRows];
};

// What lies this many bytes after the weights being read goes to L2 meanwhile. Always inline: g++ 12 drops calls of a
// function that does nothing else.
[[gnu::always_inline]] inline void Fetch(const std::int8_t* weights, std::int64_t fetch) {
  _mm_prefetch(reinterpret_cast<const char*>(weights + fetch), _MM_HINT_T1);
}

inline const std::int8_t* WeightsOf(const Avx2Panel& panel, std::int64_t group) {
  return panel.weights + group * kAvx2GroupBytes;
}

inline const std::uint8_t* PairedCodes(const Rows& rows, const Avx2Panel& panel, std::int64_t group) {
  return rows.paired + FirstOfGroup(panel, group, kAvx2Pairings * panel.num_whole);
}

// Groups [0, num_joint), two at a time.
template <int kRows>
[[gnu::always_inline]] inline void AddJoint(const Rows& rows, const Avx2Panel& panel, std::int64_t fetch,
                                            TileSums<kRows>& sums) {
  for (std::int64_t i = 0; i < panel.num_joint; i += 2) {
    const std::uint8_t* codes0 = PairedCodes(rows, panel, i);
    const std::uint8_t* codes1 = PairedCodes(rows, panel, i + 1);
    const std::int8_t* weights = WeightsOf(panel, i);
    Fetch(weights, fetch);
    Fetch(weights + kAvx2GroupBytes, fetch);
    const __m256i w0[2] = {Load32Bytes(weights), Load32Bytes(weights + 32)};
    const __m256i w1[2] = {Load32Bytes(weights + 64), Load32Bytes(weights + 96)};
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      AddEight(sums.lo[r], sums.hi[r], codes0 + r * rows.paired_stride, codes1 + r * rows.paired_stride, w0, w1);
    }
  }
}

// Groups [num_joint, num_safe).
template <int kRows>
[[gnu::always_inline]] inline void AddSafe(const Rows& rows, const Avx2Panel& panel, std::int64_t fetch,
                                           TileSums<kRows>& sums) {
  const __m256i ones = _mm256_set1_epi16(1);
  for (std::int64_t i = panel.num_joint; i < panel.num_safe; ++i) {
    const std::uint8_t* codes = PairedCodes(rows, panel, i);
    const std::int8_t* weights = WeightsOf(panel, i);
    Fetch(weights, fetch);
    const __m256i w_lo = Load32Bytes(weights);
    const __m256i w_hi = Load32Bytes(weights + 32);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const __m256i four = BroadcastFourBytes(codes + r * rows.paired_stride);
      AddFour(sums.lo[r], four, w_lo, ones);
      AddFour(sums.hi[r], four, w_hi, ones);
    }
  }
}

// Groups [num_safe, num_groups).
template <int kRows>
[[gnu::always_inline]] inline void AddWide(const Rows& rows, const Avx2Panel& panel, std::int64_t fetch,
                                           TileSums<kRows>& sums) {
  for (std::int64_t i = panel.num_safe; i < panel.num_groups; ++i) {
    const std::int16_t* codes = rows.wide + FirstOfGroup(panel, i, panel.num_groups);
    const std::int8_t* weights = WeightsOf(panel, i);
    Fetch(weights, fetch);
#pragma GCC unroll 2
    for (std::int64_t pair = 0; pair < 2; ++pair) {
      const __m256i w_lo = _mm256_cvtepi8_epi16(Load16Bytes(weights + pair * 32));
      const __m256i w_hi = _mm256_cvtepi8_epi16(Load16Bytes(weights + pair * 32 + 16));
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const __m256i two = BroadcastFourBytes(codes + r * rows.wide_stride + pair * 2);
        AddTwo(sums.lo[r], two, w_lo);
        AddTwo(sums.hi[r], two, w_hi);
      }
    }
  }
}

// out[r, j] = sum_p a[r, p] * w[p, j] for kRows rows and the 16 columns of a panel. Weights that come from L3 or memory
// arrive in time if `fetch` leads to those that are read next.
template <int kRows>
[[gnu::noinline]] void SumTile(const Rows& rows, const Avx2Panel& panel, std::int64_t fetch, std::int32_t* out) {
  TileSums<kRows> sums;
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    sums.lo[r] = _mm256_setzero_si256();
    sums.hi[r] = _mm256_setzero_si256();
  }
  AddJoint(rows, panel, fetch, sums);
  AddSafe(rows, panel, fetch, sums);
  AddWide(rows, panel, fetch, sums);
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    auto* row = reinterpret_cast<__m256i*>(out + r * kLanes);
    _mm256_store_si256(row, sums.lo[r]);
    _mm256_store_si256(row + 1, sums.hi[r]);
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
