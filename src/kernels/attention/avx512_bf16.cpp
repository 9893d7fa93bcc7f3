// attention with operands rounded to bfloat16 (vdpbf16ps: two products a lane and step).
#include "kernels/activation_simd.h"
#include "kernels/attention/attention.h"
#include "kernels/panels.h"
#include "kernels/tile_simd.h"

namespace laconic::kernels {
namespace {

constexpr int kRows = 6;  // of queries at a time; by 4 vectors of keys or of values they use 24 registers of 32
static_assert(kRows <= kMaxQueryRows);

// Neighbours along the sum lie side by side, two bfloat16 in 32 bits.
struct Scratch {
  std::int64_t dim_pairs;
  std::int64_t key_pairs;
  std::int64_t keys_padded;     // to 16
  std::int64_t weights_stride;  // to 32
  std::int64_t dim_padded;      // to 32
  std::uint32_t* k;             // transposed: [dim_pairs][keys_padded], zeros past keys and head_dim
  std::uint32_t* v;             // [key_pairs][dim_padded], likewise
  float* scores;                // [kRows][keys_padded]
  std::uint16_t* weights;       // [kRows][weights_stride]
  std::uint16_t* q;             // [kRows][dim_padded], times scale * log2 e
};

inline Scratch SplitScratch(const AttentionArgs& args) {
  Scratch scratch = {};
  scratch.dim_pairs = RoundUp(args.head_dim, 2) / 2;
  scratch.key_pairs = RoundUp(args.keys, 2) / 2;
  scratch.keys_padded = RoundUp(args.keys, kLanes);
  scratch.weights_stride = RoundUp(args.keys, 2 * kLanes);
  scratch.dim_padded = RoundUp(args.head_dim, 2 * kLanes);
  scratch.k = static_cast<std::uint32_t*>(args.scratch);
  scratch.v = scratch.k + scratch.dim_pairs * scratch.keys_padded;
  scratch.scores = reinterpret_cast<float*>(scratch.v + scratch.key_pairs * scratch.dim_padded);
  scratch.weights = reinterpret_cast<std::uint16_t*>(scratch.scores + kRows * scratch.keys_padded);
  scratch.q = scratch.weights + kRows * scratch.weights_stride;
  return scratch;
}

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

inline void PackKeys(const AttentionArgs& args, const Scratch& scratch) {
  const __m512 one = _mm512_set1_ps(1.0F);
  for (std::int64_t j = 0; j < args.keys; j += kLanes) {
    for (std::int64_t d = 0; d < args.head_dim; d += 2 * kLanes) {
      __m512i rows[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        rows[i] = j + i < args.keys ? RoundRow(args.k + (j + i) * args.k_stride + d, args.head_dim - d, one)
                                    : _mm512_setzero_si512();
      }
      Transpose16x16(rows);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        if (d / 2 + i < scratch.dim_pairs) {
          _mm512_storeu_si512(scratch.k + (d / 2 + i) * scratch.keys_padded + j, rows[i]);
        }
      }
    }
  }
}

// 16 floats, of which n exist, as bfloat16 in the low halves of 32 bits.
inline __m512i RoundWide(const float* p, std::int64_t n) {
  return _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(LoadPart(p, n).v)));
}

inline void PackValues(const AttentionArgs& args, const Scratch& scratch) {
  for (std::int64_t j = 0; j < args.keys; j += 2) {
    const float* v = args.v + j * args.v_stride;
    for (std::int64_t d = 0; d < scratch.dim_padded; d += kLanes) {
      const std::int64_t left = args.head_dim - d;
      const __m512i low = RoundWide(v + d, left);
      const __m512i high =
          j + 1 < args.keys ? _mm512_slli_epi32(RoundWide(v + args.v_stride + d, left), 16) : _mm512_setzero_si512();
      _mm512_storeu_si512(scratch.v + j / 2 * scratch.dim_padded + d, _mm512_or_si512(low, high));
    }
  }
}

// sum += both products of each lane's pairs. One instruction in asm, so that g++ 12 keeps `sum` in its register.
inline void DotProduct(__m512& sum, __m512i a, __m512i b) { asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b)); }

// A product's operands and place: a [rows][depth] pairs, b [depth][columns] pairs. Of the last vector of c only the
// lanes in `last` are written.
struct PairProduct {
  std::int64_t depth;
  const std::uint16_t* a;
  std::int64_t a_stride;
  const std::uint32_t* b;
  std::int64_t b_stride;
  float* c;
  std::int64_t c_stride;
  const float* row_factors;  // null: 1
  __mmask16 last;
};

template <int kCount, int kVecs>
[[gnu::noinline]] void MultiplyPairs(const PairProduct& product) {
  const std::uint16_t* a = product.a;
  const std::uint32_t* b = product.b;
  __m512 sums[kCount][kVecs];
#pragma GCC unroll 8
  for (int r = 0; r < kCount; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      sums[r][v] = _mm512_setzero_ps();
    }
  }
  for (std::int64_t p = 0; p < product.depth; ++p) {
    __m512i columns[kVecs];
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      columns[v] = _mm512_loadu_si512(b + v * kLanes);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kCount; ++r) {
      std::int32_t pair = 0;
      __builtin_memcpy(&pair, a + r * product.a_stride, sizeof pair);
      const __m512i value = _mm512_set1_epi32(pair);
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) {
        DotProduct(sums[r][v], value, columns[v]);
      }
    }
    a += 2;
    b += product.b_stride;
  }
#pragma GCC unroll 8
  for (int r = 0; r < kCount; ++r) {
    const __m512 factor = _mm512_set1_ps(product.row_factors == nullptr ? 1.0F : product.row_factors[r]);
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      const __mmask16 lanes = v + 1 == kVecs ? product.last : static_cast<__mmask16>(0xFFFF);
      _mm512_mask_storeu_ps(product.c + r * product.c_stride + v * kLanes, lanes, _mm512_mul_ps(sums[r][v], factor));
    }
  }
}

template <int kVecs>
inline void MultiplyRows(std::int64_t rows, const PairProduct& product) {
  WithRows<kRows>(rows, [&]<int kCount>() { MultiplyPairs<kCount, kVecs>(product); });
}

// c = a b for at most kRows rows and any number of columns; b is padded to vectors.
inline void Multiply(std::int64_t rows, std::int64_t columns, PairProduct product) {
  while (columns > 0) {
    const std::int64_t vecs = columns > 3 * kLanes ? 4 : (columns > kLanes ? 2 : 1);
    const std::int64_t left = columns - (vecs - 1) * kLanes;
    product.last = static_cast<__mmask16>(left >= kLanes ? 0xFFFF : (1U << left) - 1);
    if (vecs == 4) {
      MultiplyRows<4>(rows, product);
    } else if (vecs == 2) {
      MultiplyRows<2>(rows, product);
    } else {
      MultiplyRows<1>(rows, product);
    }
    product.b += vecs * kLanes;
    product.c += vecs * kLanes;
    columns -= vecs * kLanes;
  }
}

// 2^x for x <= 0 to 1e-4 (bfloat16 has 3.9e-3); 0 below 2^-150. NaN stays NaN.
inline __m512 Exp2(__m512 x) {
  constexpr float kExp2[] = {0.999924541F, 0.693136752F, 0.242639482F, 0.0558382832F};
  const __m512 bounded = _mm512_max_ps(_mm512_set1_ps(-200.0F), x);
  const __m512 n = _mm512_roundscale_ps(bounded, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 f = _mm512_sub_ps(bounded, n);
  const __m512 value = Horner(kExp2, {f}).v;
  return _mm512_scalef_ps(value, n);
}

// weights = 2^(score - max) as bfloat16, 0 past keys; returns 1 / their sum, as they were rounded.
inline float SoftmaxRow(float* scores, const Scratch& scratch, std::int64_t keys, std::uint16_t* weights) {
  const __m512 lowest = _mm512_set1_ps(-__builtin_inff());
  for (std::int64_t j = keys; j < scratch.keys_padded; ++j) {
    scores[j] = -__builtin_inff();
  }
  __m512 largest = lowest;
  for (std::int64_t j = 0; j < scratch.keys_padded; j += kLanes) {
    largest = _mm512_max_ps(_mm512_loadu_ps(scores + j), largest);
  }
  largest = _mm512_set1_ps(_mm512_reduce_max_ps(largest));
  const __m512i ones = _mm512_set1_epi32(0x3F803F80);  // pairs of 1
  __m512 sum = _mm512_setzero_ps();
  for (std::int64_t j = 0; j < scratch.keys_padded; j += 2 * kLanes) {
    const bool has_second = j + kLanes < scratch.keys_padded;
    const __m512 second = has_second ? _mm512_loadu_ps(scores + j + kLanes) : lowest;
    const auto rounded = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(
        Exp2(_mm512_sub_ps(second, largest)), Exp2(_mm512_sub_ps(_mm512_loadu_ps(scores + j), largest))));
    _mm512_storeu_si512(weights + j, rounded);
    DotProduct(sum, rounded, ones);
  }
  return 1.0F / _mm512_reduce_add_ps(sum);
}

inline void AttendRows(const AttentionArgs& args, const Scratch& scratch, std::int64_t first, std::int64_t rows) {
  constexpr float kLog2E = 1.44269504F;
  const __m512 scale = _mm512_set1_ps(args.scale * kLog2E);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t d = 0; d < args.head_dim; d += 2 * kLanes) {
      _mm512_storeu_si512(scratch.q + r * scratch.dim_padded + d,
                          RoundRow(args.q + (first + r) * args.q_stride + d, args.head_dim - d, scale));
    }
  }
  Multiply(rows, scratch.keys_padded,
           {scratch.dim_pairs, scratch.q, scratch.dim_padded, scratch.k, scratch.keys_padded, scratch.scores,
            scratch.keys_padded, nullptr, 0});
  float inv_sums[kRows] = {};
  for (std::int64_t r = 0; r < rows && args.keys > 0; ++r) {
    inv_sums[r] = SoftmaxRow(scratch.scores + r * scratch.keys_padded, scratch, args.keys,
                             scratch.weights + r * scratch.weights_stride);
  }
  Multiply(rows, args.head_dim,
           {scratch.key_pairs, scratch.weights, scratch.weights_stride, scratch.v, scratch.dim_padded,
            args.out + first * args.out_stride, args.out_stride, inv_sums, 0});
}

}  // namespace

void AttentionAvx512BF16(const AttentionArgs& args) noexcept {
  const Scratch scratch = SplitScratch(args);
  PackKeys(args, scratch);
  PackValues(args, scratch);
  ForEachRowTile(args.queries, kRows,
                 [&](std::int64_t first, std::int64_t rows) { AttendRows(args, scratch, first, rows); });
}

}  // namespace laconic::kernels
