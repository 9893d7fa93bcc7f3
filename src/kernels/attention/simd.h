// attention for every vector level.
#pragma once

#include "kernels/activation_simd.h"
#include "kernels/attention/attention.h"
#include "kernels/attention/scratch.h"
#include "kernels/tile_simd.h"
#include "kernels/transpose_simd.h"

namespace laconic::kernels {
namespace {

inline constexpr std::int64_t kQueryRows = MaxRows(kMaxVecs);
static_assert(kQueryRows <= kMaxQueryRows);

inline void PackKeys(const AttentionArgs& args, const VectorScratch& scratch) {
  for (std::int64_t j = 0; j < scratch.keys_padded; j += 8) {
    const float* k = args.k + j * args.k_stride;
    std::int64_t d = 0;
    for (; j + 8 <= args.keys && d + 8 <= args.head_dim; d += 8) {
      Transpose8x8(k + d, args.k_stride, scratch.k + d * scratch.keys_padded + j, scratch.keys_padded);
    }
    for (; d < args.head_dim; ++d) {
      for (std::int64_t i = 0; i < 8; ++i) {
        scratch.k[d * scratch.keys_padded + j + i] = j + i < args.keys ? k[i * args.k_stride + d] : 0;
      }
    }
  }
}

inline void PackValues(const AttentionArgs& args, const VectorScratch& scratch) {
  for (std::int64_t j = 0; j < args.keys; ++j) {
    for (std::int64_t d = 0; d < args.head_dim; d += kLanes) {
      Store(scratch.v + j * scratch.dim_padded + d, LoadPart(args.v + j * args.v_stride + d, args.head_dim - d));
    }
  }
}

// c = a b, for at most kQueryRows rows, b [depth, columns] with columns a multiple of 16, rows of b and c contiguous.
inline void Multiply(std::int64_t rows, std::int64_t depth, const float* a, std::int64_t a_stride, const float* b,
                     std::int64_t columns, float* c) {
  WithRows<kQueryRows>(rows, [&]<int kRows>() {
    std::int64_t j = 0;
    if constexpr (kMaxVecs == 4) {
      for (; j + 4 * kLanes <= columns; j += 4 * kLanes) {
        MultiplyTile<kRows, 4, float, Start::kZero>(depth, a, a_stride, b + j, columns, c + j, columns);
      }
      if (j + 2 * kLanes <= columns) {
        MultiplyTile<kRows, 2, float, Start::kZero>(depth, a, a_stride, b + j, columns, c + j, columns);
        j += 2 * kLanes;
      }
    }
    for (; j < columns; j += kLanes) {
      MultiplyTile<kRows, 1, float, Start::kZero>(depth, a, a_stride, b + j, columns, c + j, columns);
    }
  });
}

inline void ScaleQueries(const AttentionArgs& args, const VectorScratch& scratch, std::int64_t first,
                         std::int64_t rows) {
  constexpr float kLog2E = 1.44269504F;
  const Vec16 factor = Set1(args.scale * kLog2E);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t d = 0; d < args.head_dim; d += kLanes) {
      Store(scratch.sums + r * scratch.dim_padded + d,
            Mul(LoadPart(args.q + (first + r) * args.q_stride + d, args.head_dim - d), factor));
    }
  }
}

// scores become 2^(score - max), next to nothing past keys; returns 1 / their sum, NaN if a score is.
inline float SoftmaxRow(float* scores, std::int64_t keys, std::int64_t keys_padded) {
  for (std::int64_t j = keys; j < keys_padded; ++j) {
    scores[j] = -__builtin_inff();
  }
  Vec16 largest = Set1(-__builtin_inff());
  Vec16 nans = Set1(0.0F);  // beside the maximum, which waits for itself, they cost nothing
  for (std::int64_t j = 0; j < keys_padded; j += kLanes) {
    const Vec16 score = Load(scores + j);
    largest = Max(score, largest);
    nans = KeepNaN(nans, score);
  }
  largest = Set1(ReduceMax(largest));
  Vec16 sum = Set1(0.0F);
  for (std::int64_t j = 0; j < keys_padded; j += kLanes) {
    const Vec16 weight = Exp2(Sub(Load(scores + j), largest));
    Store(scores + j, weight);
    sum = Add(sum, weight);
  }
  return 1.0F / ReduceAdd(sum) + ReduceAdd(nans);
}

inline void AttendRows(const AttentionArgs& args, const VectorScratch& scratch, std::int64_t first, std::int64_t rows) {
  ScaleQueries(args, scratch, first, rows);
  Multiply(rows, args.head_dim, scratch.sums, scratch.dim_padded, scratch.k, scratch.keys_padded, scratch.scores);
  float inv_sums[kQueryRows] = {};
  for (std::int64_t r = 0; r < rows && args.keys > 0; ++r) {
    inv_sums[r] = SoftmaxRow(scratch.scores + r * scratch.keys_padded, args.keys, scratch.keys_padded);
  }
  Multiply(rows, args.keys, scratch.scores, scratch.keys_padded, scratch.v, scratch.dim_padded, scratch.sums);
  for (std::int64_t r = 0; r < rows; ++r) {
    const Vec16 inv_sum = Set1(inv_sums[r]);
    float* out = args.out + (first + r) * args.out_stride;
    for (std::int64_t d = 0; d < args.head_dim; d += kLanes) {
      StorePart(out + d, Mul(Load(scratch.sums + r * scratch.dim_padded + d), inv_sum), args.head_dim - d);
    }
  }
}

inline void Attend(const AttentionArgs& args) {
  ScratchParts parts(args.scratch);
  const VectorScratch scratch = LayOutVectors(args.keys, args.head_dim, kQueryRows, &parts);
  PackKeys(args, scratch);
  PackValues(args, scratch);
  ForEachRowTile(args.queries, kQueryRows,
                 [&](std::int64_t first, std::int64_t rows) { AttendRows(args, scratch, first, rows); });
}

}  // namespace
}  // namespace laconic::kernels
