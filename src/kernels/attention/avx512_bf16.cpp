// attention with operands rounded to bfloat16 (vdpbf16ps: two products a lane and step).
#include "kernels/attention/bf16_simd.h"
#include "kernels/attention/scratch.h"
#include "kernels/tile_simd.h"

namespace laconic::kernels {
namespace {

constexpr int kRows = 6;  // of queries at a time; by 4 vectors of keys or of values they use 24 registers of 32
static_assert(kRows <= kMaxQueryRows);

inline void PackKeys(const AttentionArgs& args, const PairScratch& scratch) {
  for (std::int64_t j = 0; j < args.keys; j += kLanes) {
    for (std::int64_t d = 0; d < args.head_dim; d += 2 * kLanes) {
      __m512i words[16];
      LoadKeys(args, j, d, words);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        if (d / 2 + i < scratch.dim_pairs) {
          _mm512_storeu_si512(scratch.k + (d / 2 + i) * scratch.keys_padded + j, words[i]);
        }
      }
    }
  }
}

inline void PackValues(const AttentionArgs& args, const PairScratch& scratch) {
  for (std::int64_t j = 0; j < args.keys; j += 2) {
    for (std::int64_t d = 0; d < scratch.dim_padded; d += kLanes) {
      _mm512_storeu_si512(scratch.v + j / 2 * scratch.dim_padded + d, LoadValues(args, j, d));
    }
  }
}

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

inline void AttendRows(const AttentionArgs& args, const PairScratch& scratch, std::int64_t first, std::int64_t rows) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t d = 0; d < args.head_dim; d += 2 * kLanes) {
      _mm512_storeu_si512(scratch.q + r * scratch.dim_padded + d, LoadQuery(args, first + r, d));
    }
  }
  Multiply(rows, scratch.keys_padded,
           {scratch.dim_pairs, scratch.q, scratch.dim_padded, scratch.k, scratch.keys_padded, scratch.scores,
            scratch.keys_padded, nullptr, 0});
  float inv_sums[kRows] = {};
  for (std::int64_t r = 0; r < rows && args.keys > 0; ++r) {
    inv_sums[r] = SoftmaxRow(args.keys, scratch.scores + r * scratch.keys_padded, kLanes,
                             scratch.weights + r * scratch.weights_stride, 2 * kLanes);
  }
  Multiply(rows, args.head_dim,
           {scratch.key_pairs, scratch.weights, scratch.weights_stride, scratch.v, scratch.dim_padded,
            args.out + first * args.out_stride, args.out_stride, inv_sums, 0});
}

}  // namespace

void AttentionAvx512BF16(const AttentionArgs& args) noexcept {
  ScratchParts parts(args.scratch);
  const PairScratch scratch = LayOutPairs(args.keys, args.head_dim, kRows, &parts);
  PackKeys(args, scratch);
  PackValues(args, scratch);
  ForEachRowTile(args.queries, kRows,
                 [&](std::int64_t first, std::int64_t rows) { AttendRows(args, scratch, first, rows); });
}

}  // namespace laconic::kernels
