// attention_int8 for every vector level. Neighbours along a sum lie side by side in words of 32 bits: four bytes for
// vpdpbusd, two 16-bit codes for vpmaddwd, both exact.
#pragma once

#include "kernels/activation_simd.h"
#include "kernels/attention_int8/attention_int8.h"
#include "kernels/attention_int8/scratch.h"
#include "kernels/tile_simd.h"
#include "kernels/transpose_simd.h"
#include "kernels/vpdpbusd.h"

namespace laconic::kernels {
namespace {

// DotProduct: sum += the products in each word, of unsigned codes (left) and signed ones (right).
// StoreCodes: 16 integers that a code can hold, signed or not.
#if defined(__AVX512VNNI__)
using Code = std::uint8_t;

inline void DotProduct(Ints16& sum, Ints16 left, Ints16 right) { Vpdpbusd(sum.v, left.v, right.v); }
inline void StoreCodes(Code* p, Ints16 x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(x.v));
}
#elif defined(__AVXVNNI__)
using Code = std::uint8_t;

inline void DotProduct(Ints16& sum, Ints16 left, Ints16 right) {
  Vpdpbusd(sum.lo, left.lo, right.lo);
  Vpdpbusd(sum.hi, left.hi, right.hi);
}
inline void StoreCodes(Code* p, Ints16 x) {
  const Ints16 low = And(x, SetInts(0xFF));
  StoreBytes(p, low.lo, low.hi);
}
#else
using Code = std::int16_t;

inline void DotProduct(Ints16& sum, Ints16 left, Ints16 right) {
  sum.lo = _mm256_add_epi32(sum.lo, _mm256_madd_epi16(left.lo, right.lo));
  sum.hi = _mm256_add_epi32(sum.hi, _mm256_madd_epi16(left.hi, right.hi));
}
inline void StoreCodes(Code* p, Ints16 x) {
  const __m256i codes = _mm256_packs_epi32(x.lo, x.hi);  // within 128-bit lanes
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(codes, 0xD8));
}
#endif

inline constexpr int kGroup = kCodesOfWord<Code>;
inline constexpr std::int64_t kQueryRows = kMaxVecs == 4 ? 6 : 4;  // of a tile: by 4 vectors, or by 1 of two registers
inline constexpr std::int64_t kQueryBlock = 2 * kQueryRows;        // that find their steps together
static_assert(kQueryRows <= kMaxQueryRows && kQueryBlock <= kLanes);
inline constexpr std::int32_t kQueryOffset = 128;  // makes a query's codes unsigned

using Scratch = CodeScratch<Code>;

// Of numbers whose largest magnitude is `largest`; NaN if that is NaN or infinity.
inline Vec16 StepOf(Vec16 largest) {
  const Vec16 step = Max(Div(largest, Set1(127.0F)), Set1(kMinCodeStep));
  return Add(step, Sub(largest, largest));
}

// At most 16 rows of n numbers.
struct RowBlock {
  std::int64_t rows;
  std::int64_t n;
  const float* x;
  std::int64_t stride;

  // 16 of row r from column c on; 0 past n.
  Vec16 At(std::int64_t r, std::int64_t c) const { return LoadPart(x + r * stride + c, n - c); }
};

// A lane of each row; 0 past them.
inline Vec16 LargestOfRows(const RowBlock& block) {
  alignas(64) float halves[kLanes * 8] = {};  // [rows][8]
  for (std::int64_t r = 0; r < block.rows; ++r) {
    Vec16 row = Abs(block.At(r, 0));
    for (std::int64_t c = kLanes; c < block.n; c += kLanes) {
      row = MaxBits(row, Abs(block.At(r, c)));
    }
    _mm256_store_ps(halves + r * 8, MaxBits(LowHalf(row), HighHalf(row)));
  }
  alignas(64) float columns[8 * kLanes];  // [8][rows]
  Transpose8x8(halves, 8, columns, kLanes);
  Transpose8x8(halves + 64, 8, columns + 8, kLanes);
  Vec16 largest = Load(columns);
#pragma GCC unroll 7
  for (int i = 1; i < 8; ++i) {
    largest = MaxBits(largest, Load(columns + i * kLanes));
  }
  return largest;
}

// Codes plus `offset`, [rows][codes_stride], those of 0 past n. steps: 16.
inline void EncodeRows(const RowBlock& block, std::int32_t offset, Code* codes, std::int64_t codes_stride,
                       float* steps) {
  const Vec16 step = StepOf(LargestOfRows(block));
  Store(steps, step);
  alignas(64) float inv_steps[kLanes];
  Store(inv_steps, Div(Set1(1.0F), step));
  const Ints16 offsets = SetInts(offset);
  for (std::int64_t r = 0; r < block.rows; ++r) {
    const Vec16 inv_step = Set1(inv_steps[r]);
    for (std::int64_t c = 0; c < codes_stride; c += kLanes) {
      StoreCodes(codes + r * codes_stride + c, Add(ToInts(Mul(block.At(r, c), inv_step)), offsets));
    }
  }
}

inline void EncodeKeys(const AttentionArgs& args, Scratch& scratch) {
  const std::int64_t words = scratch.q_stride / kGroup;
  for (std::int64_t j = 0; j < scratch.keys_padded; j += kLanes) {
    alignas(64) Code codes[kLanes * kMaxHeadDim];
    const std::int64_t rows = args.keys - j < kLanes ? args.keys - j : kLanes;
    for (Code* zero = codes + rows * scratch.q_stride; zero < codes + kLanes * scratch.q_stride; zero += kLanes) {
      StoreCodes(zero, SetInts(0));
    }
    EncodeRows({rows, args.head_dim, args.k + j * args.k_stride, args.k_stride}, 0, codes, scratch.q_stride,
               scratch.k_step + j);
    for (std::int64_t w = 0; w < words; w += 8) {
      for (std::int64_t r = 0; r < kLanes; r += 8) {
        Transpose8x8(reinterpret_cast<const float*>(codes) + r * words + w, words,
                     reinterpret_cast<float*>(scratch.k) + w * scratch.keys_padded + j + r, scratch.keys_padded);
      }
    }
  }
  Vec16 poison = Set1(0.0F);
  const Ints16 ones = SetInts(kGroup == 4 ? 0x01010101 : 0x00010001);
  for (std::int64_t j = 0; j < scratch.keys_padded; j += kLanes) {
    Ints16 sum = SetInts(0);
    for (std::int64_t w = 0; w < Words<Code>(args.head_dim); ++w) {
      DotProduct(sum, ones, LoadInts(scratch.k + w * scratch.keys_padded + j));
    }
    StoreInts(scratch.k_start + j, Multiply(sum, -kQueryOffset));
    Store(scratch.k_bias + j, Set1(0.0F));
    poison = Fma(Load(scratch.k_step + j), Set1(0.0F), poison);
  }
  scratch.k_poison = ReduceAdd(poison);
  for (std::int64_t j = args.keys; j < scratch.keys_padded; ++j) {
    scratch.k_bias[j] = -__builtin_inff();
  }
}

// The words of up to kGroup rows' codes, row(i) giving the numbers.
template <typename Row>
inline Ints16 JoinRows(std::int64_t rows, Vec16 inv_step, const Row& row) {
  constexpr int kBits = 32 / kGroup;
  const Ints16 mask = SetInts(static_cast<std::int32_t>((std::int64_t{1} << kBits) - 1));
  Ints16 words = SetInts(0);
#pragma GCC unroll 4
  for (int i = 0; i < kGroup; ++i) {
    if (i < rows) {
      words = Or(words, ShiftLeft(And(ToInts(Mul(row(i), inv_step)), mask), i * kBits));
    }
  }
  return words;
}

inline void EncodeValues(const AttentionArgs& args, const Scratch& scratch) {
  for (std::int64_t d = 0; d < scratch.dim_padded; d += kLanes) {
    const auto load = [&](std::int64_t j) { return LoadPart(args.v + j * args.v_stride + d, args.head_dim - d); };
    Vec16 largest = Set1(0.0F);
    for (std::int64_t j = 0; j < args.keys; ++j) {
      largest = MaxBits(largest, Abs(load(j)));
    }
    const Vec16 step = StepOf(largest);
    Store(scratch.v_step + d, step);
    const Vec16 inv_step = Div(Set1(1.0F), step);
    for (std::int64_t j = 0; j < args.keys; j += kGroup) {
      StoreInts(scratch.v + j / kGroup * scratch.dim_padded + d,
                JoinRows(args.keys - j, inv_step, [&](int i) { return load(j + i); }));
    }
  }
}

// A product's operands: left [rows][words] of codes, right [words][columns].
struct Product {
  std::int64_t words;
  const Code* left;
  std::int64_t left_stride;
  const std::int32_t* right;
  std::int64_t right_stride;
};

// finish(row, its sums) for kRows rows and 16 * kVecs columns, the sums starting from start(vector).
template <int kRows, int kVecs, typename StartAt, typename Finish>
inline void SumTile(const Product& product, const StartAt& start, const Finish& finish) {
  Ints16 sums[kRows][kVecs];
#pragma GCC unroll 4
  for (int v = 0; v < kVecs; ++v) {
    const Ints16 first = start(v);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      sums[r][v] = first;
    }
  }
  const Code* left = product.left;
  const std::int32_t* right = product.right;
  for (std::int64_t w = 0; w < product.words; ++w) {
    Ints16 columns[kVecs];
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      columns[v] = LoadInts(right + v * kLanes);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      std::int32_t word = 0;
      __builtin_memcpy(&word, left + r * product.left_stride, sizeof word);
      const Ints16 codes = SetInts(word);
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) {
        DotProduct(sums[r][v], codes, columns[v]);
      }
    }
    left += kGroup;
    right += product.right_stride;
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    finish(r, sums[r]);
  }
}

// body.template operator()<rows, vectors>(first column), for `columns`, a multiple of 16.
template <typename Body>
inline void ForEachColumnTile(std::int64_t rows, std::int64_t columns, const Body& body) {
  WithRows<kQueryRows>(rows, [&]<int kRows>() {
    std::int64_t j = 0;
    if constexpr (kMaxVecs == 4) {
      for (; j + 4 * kLanes <= columns; j += 4 * kLanes) {
        body.template operator()<kRows, 4>(j);
      }
      if (j + 2 * kLanes <= columns) {
        body.template operator()<kRows, 2>(j);
        j += 2 * kLanes;
      }
    }
    for (; j < columns; j += kLanes) {
      body.template operator()<kRows, 1>(j);
    }
  });
}

// Where a tile of scores goes, its first column there.
struct ScoreTile {
  const Scratch* scratch;
  const float* factors;  // a row
  Vec16* largest;        // a row
  std::int64_t column;
};

template <int kRows, int kVecs>
[[gnu::noinline]] void ScoreColumns(const Product& product, const ScoreTile& tile) {
  const Scratch& scratch = *tile.scratch;
  SumTile<kRows, kVecs>(
      product, [&](int v) { return LoadInts(scratch.k_start + tile.column + v * kLanes); },
      [&](int r, const Ints16(&sums)[kVecs]) __attribute__((always_inline)) {
        const Vec16 factor = Set1(tile.factors[r]);
        Vec16 largest = tile.largest[r];
#pragma GCC unroll 4
        for (int v = 0; v < kVecs; ++v) {
          const std::int64_t j = tile.column + v * kLanes;
          // Adding 0 in the same step changes nothing.
          const Vec16 score = Fma(Mul(ToFloats(sums[v]), factor), Load(scratch.k_step + j), Load(scratch.k_bias + j));
          largest = Max(score, largest);
          Store(scratch.scores + r * scratch.keys_padded + j, score);
        }
        tile.largest[r] = largest;
      });
}

// Queries of a tile: codes, and what turns sums into powers of 2.
struct Queries {
  std::int64_t rows;
  const Code* codes;
  const float* factors;
};

// Scores of all keys. largest: a row's, NaN if one of its codes' steps is. A score of -inf is an ordinary one.
inline void ScoreRows(const AttentionArgs& args, const Scratch& scratch, const Queries& queries, float* largest) {
  Vec16 by_lane[kQueryRows];
  for (Vec16& lanes : by_lane) {
    lanes = Set1(-__builtin_inff());
  }
  ForEachColumnTile(queries.rows, scratch.keys_padded, [&]<int kRows, int kVecs>(std::int64_t j) {
    ScoreColumns<kRows, kVecs>(
        {Words<Code>(args.head_dim), queries.codes, scratch.q_stride, scratch.k + j, scratch.keys_padded},
        {&scratch, queries.factors, by_lane, j});
  });
  for (std::int64_t r = 0; r < queries.rows; ++r) {
    largest[r] = ReduceMax(by_lane[r]) + (scratch.k_poison + 0.0F * queries.factors[r]);
  }
}

// The weights of a row of scores; returns 1 / their sum, NaN if `largest` is not finite.
inline float WeighRow(const float* scores, std::int64_t keys_padded, float largest, Code* weights) {
  // 255 * 2^r to 7e-6. Not 2^(r + log2(255)): a score of 1e5 leaves that sum too few bits.
  constexpr float kCoefficients[] = {255, 255 * 0.693136752F, 255 * 0.2402253F, 255 * 0.0558382832F,
                                     255 * 0.00965671055F};
  const Vec16 origin = Set1(largest);
  Ints16 sum = SetInts(0);
  for (std::int64_t j = 0; j < keys_padded; j += kLanes) {
    const Ints16 weight = ToInts(Exp2(kCoefficients, Sub(Load(scores + j), origin)));
    sum = Add(sum, weight);
    StoreCodes(weights + j, weight);
  }
  return 1.0F / ReduceAdd(ToFloats(sum)) + 0.0F * largest;
}

template <int kRows, int kVecs>
[[gnu::noinline]] void SumValues(const Product& product, const float* inv_sums, const float* steps, float* out,
                                 std::int64_t out_stride, std::int64_t columns) {
  SumTile<kRows, kVecs>(
      product, [](int) { return SetInts(0); },
      [&](int r, const Ints16(&sums)[kVecs]) __attribute__((always_inline)) {
        const Vec16 inv_sum = Set1(inv_sums[r]);
#pragma GCC unroll 4
        for (int v = 0; v < kVecs; ++v) {
          const std::int64_t d = v * kLanes;
          StorePart(out + r * out_stride + d, Mul(Mul(ToFloats(sums[v]), inv_sum), Load(steps + d)), columns - d);
        }
      });
}

inline void AttendRows(const AttentionArgs& args, const Scratch& scratch, const Queries& queries, float* out) {
  float largest[kQueryRows];
  ScoreRows(args, scratch, queries, largest);
  float inv_sums[kQueryRows] = {};
  for (std::int64_t r = 0; r < queries.rows && args.keys > 0; ++r) {
    inv_sums[r] = WeighRow(scratch.scores + r * scratch.keys_padded, scratch.keys_padded, largest[r],
                           scratch.weights + r * scratch.keys_padded);
  }
  ForEachColumnTile(queries.rows, scratch.dim_padded, [&]<int kRows, int kVecs>(std::int64_t d) {
    SumValues<kRows, kVecs>(
        {Words<Code>(args.keys), scratch.weights, scratch.keys_padded, scratch.v + d, scratch.dim_padded}, inv_sums,
        scratch.v_step + d, out + d, args.out_stride, args.head_dim - d);
  });
}

inline void AttendBlock(const AttentionArgs& args, const Scratch& scratch, std::int64_t first, std::int64_t rows) {
  constexpr float kLog2E = 1.44269504F;
  alignas(64) float factors[kLanes];
  EncodeRows({rows, args.head_dim, args.q + first * args.q_stride, args.q_stride}, kQueryOffset, scratch.q,
             scratch.q_stride, factors);
  Store(factors, Mul(Load(factors), Set1(args.scale * kLog2E)));
  ForEachRowTile(rows, kQueryRows, [&](std::int64_t row, std::int64_t count) {
    AttendRows(args, scratch, {count, scratch.q + row * scratch.q_stride, factors + row},
               args.out + (first + row) * args.out_stride);
  });
}

inline void Attend(const AttentionArgs& args) {
  ScratchParts parts(args.scratch);
  Scratch scratch = LayOutCodes<Code>(args.keys, args.head_dim, kQueryRows, &parts);
  EncodeKeys(args, scratch);
  EncodeValues(args, scratch);
  ForEachRowTile(args.queries, kQueryBlock,
                 [&](std::int64_t first, std::int64_t rows) { AttendBlock(args, scratch, first, rows); });
}

}  // namespace
}  // namespace laconic::kernels
