// How the kernels of attention lay out their scratch. `parts`: ScratchParts or ScratchBytes.
#pragma once

#include "kernels/panels.h"
#include "kernels/scratch.h"

namespace laconic::kernels {
namespace {

// Of attention/simd.h; `rows`: of queries at a time.
struct VectorScratch {
  std::int64_t keys_padded;  // to 16
  std::int64_t dim_padded;   // to 16
  float* k;                  // transposed: [head_dim][keys_padded], zeros past keys
  float* v;                  // [keys][dim_padded], zeros past head_dim
  float* scores;             // [rows][keys_padded]
  float* sums;               // [rows][dim_padded]: before the scores are there, q times scale * log2 e
};

template <typename Parts>
inline VectorScratch LayOutVectors(std::int64_t keys, std::int64_t head_dim, std::int64_t rows, Parts* parts) {
  VectorScratch scratch = {};
  scratch.keys_padded = RoundUp(keys, 16);
  scratch.dim_padded = RoundUp(head_dim, 16);
  scratch.k = parts->template Take<float>(head_dim * scratch.keys_padded);
  scratch.v = parts->template Take<float>(keys * scratch.dim_padded);
  scratch.scores = parts->template Take<float>(rows * scratch.keys_padded);
  scratch.sums = parts->template Take<float>(rows * scratch.dim_padded);
  return scratch;
}

// Of attention/avx512_bf16.cpp, likewise.
struct PairScratch {
  std::int64_t dim_pairs;
  std::int64_t key_pairs;
  std::int64_t keys_padded;     // to 16
  std::int64_t weights_stride;  // to 32
  std::int64_t dim_padded;      // to 32
  std::uint32_t* k;             // transposed: [dim_pairs][keys_padded], zeros past keys and head_dim
  std::uint32_t* v;             // [key_pairs][dim_padded], likewise
  float* scores;                // [rows][keys_padded]
  std::uint16_t* weights;       // [rows][weights_stride]
  std::uint16_t* q;             // [rows][dim_padded], times scale * log2 e
};

template <typename Parts>
inline PairScratch LayOutPairs(std::int64_t keys, std::int64_t head_dim, std::int64_t rows, Parts* parts) {
  PairScratch scratch = {};
  scratch.dim_pairs = RoundUp(head_dim, 2) / 2;
  scratch.key_pairs = RoundUp(keys, 2) / 2;
  scratch.keys_padded = RoundUp(keys, 16);
  scratch.weights_stride = RoundUp(keys, 32);
  scratch.dim_padded = RoundUp(head_dim, 32);
  scratch.k = parts->template Take<std::uint32_t>(scratch.dim_pairs * scratch.keys_padded);
  scratch.v = parts->template Take<std::uint32_t>(scratch.key_pairs * scratch.dim_padded);
  scratch.scores = parts->template Take<float>(rows * scratch.keys_padded);
  scratch.weights = parts->template Take<std::uint16_t>(rows * scratch.weights_stride);
  scratch.q = parts->template Take<std::uint16_t>(rows * scratch.dim_padded);
  return scratch;
}

// Of attention/amx_bf16.cpp: tiles of 16 rows of 16 words.
inline constexpr std::int64_t kWordsOfTile = 256;

struct TileScratch {
  // A block of 16 queries; two are under way.
  struct Block {
    float* scores;  // tiles [key_tiles] of [16 queries][16 keys]
    float* sums;    // tiles [2 * dim_steps] of [16 queries][16 of head_dim]
    float inv_sums[16];
  };

  std::int64_t dim_steps;  // of 32 of head_dim
  std::int64_t key_tiles;  // of 16 keys
  std::int64_t key_steps;  // of 32 keys
  std::uint32_t* k;        // tiles [key_tiles][dim_steps] of [16 pairs of head_dim][16 keys]
  std::uint32_t* v;        // tiles [key_steps][2 * dim_steps] of [16 pairs of keys][16 of head_dim]
  std::uint16_t* q;        // tiles [dim_steps] of [16 queries][32 of head_dim]; rows past the queries are anything
  std::uint16_t* weights;  // tiles [key_steps] of [16 queries][32 keys]; likewise
  Block blocks[2];
};

template <typename Parts>
inline TileScratch LayOutTiles(std::int64_t keys, std::int64_t head_dim, Parts* parts) {
  TileScratch scratch = {};
  scratch.dim_steps = RoundUp(head_dim, 32) / 32;
  scratch.key_tiles = RoundUp(keys, 16) / 16;
  scratch.key_steps = RoundUp(keys, 32) / 32;
  scratch.k = parts->template Take<std::uint32_t>(scratch.key_tiles * scratch.dim_steps * kWordsOfTile);
  scratch.v = parts->template Take<std::uint32_t>(scratch.key_steps * 2 * scratch.dim_steps * kWordsOfTile);
  scratch.q = parts->template Take<std::uint16_t>(scratch.dim_steps * 2 * kWordsOfTile);
  scratch.weights = parts->template Take<std::uint16_t>(scratch.key_steps * 2 * kWordsOfTile);
  for (TileScratch::Block& block : scratch.blocks) {
    block.scores = parts->template Take<float>(scratch.key_tiles * kWordsOfTile);
    block.sums = parts->template Take<float>(2 * scratch.dim_steps * kWordsOfTile);
  }
  return scratch;
}

}  // namespace
}  // namespace laconic::kernels
