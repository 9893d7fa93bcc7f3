// Embedding look-up: the sum of one row from each of up to three tables (word, position, segment), a token.
#pragma once

#include <cstdint>

#include "kernels/types.h"

namespace laconic::kernels {

inline constexpr std::int64_t kMaxEmbeddingTables = 3;
inline constexpr std::int64_t kEmbeddingBlockUnit = 16;  // columns: what a vector holds

struct EmbeddingTable {
  const void* data = nullptr;  // [any, cols]
  WeightType type = WeightType::kF32;
  std::int64_t row_stride = 0;        // in elements
  const float* scale = nullptr;       // kS8: [any, ceil(cols / block)], dense; value = f32(code) * scale
  std::int64_t block = 0;             // columns that share a scale, a multiple of kEmbeddingBlockUnit; 0: all of a row
  const std::int64_t* ids = nullptr;  // [tokens], the row for each token; the caller has checked them
};

// out[t, c] = (tables[0][ids0[t], c] + tables[1][ids1[t], c]) + tables[2][ids2[t], c]
//
// Shapes:   out [tokens, cols] f32. 1 <= num_tables <= kMaxEmbeddingTables.
// Numerics: each value converted (and for s8 multiplied by its scale) to f32, then added in the order of the tables,
// each
//           step rounded to f32: the same bits on every ISA.
// Threads:  safe on disjoint tokens, by moving ids and out.
struct EmbeddingArgs {
  std::int64_t tokens = 0;
  std::int64_t cols = 0;
  std::int64_t num_tables = 0;
  EmbeddingTable tables[kMaxEmbeddingTables];
  float* out = nullptr;
  std::int64_t out_stride = 0;
};

struct EmbeddingKernels {
  Isa isa = Isa::kScalar;  // the level of the functions below
  void (*run)(const EmbeddingArgs& args) noexcept = nullptr;
};

// Precondition: IsaSupported(isa).
const EmbeddingKernels& GetEmbedding(Isa isa) noexcept;

// Each lives in its own file, compiled with its own flags.
void EmbeddingScalar(const EmbeddingArgs& args) noexcept;
void EmbeddingAvx2(const EmbeddingArgs& args) noexcept;
void EmbeddingAvx512Vnni(const EmbeddingArgs& args) noexcept;

}  // namespace laconic::kernels
