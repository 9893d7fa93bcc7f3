// attention with operands rounded to bfloat16, its products in AMX tiles.
//
// All operands lie as tiles, each in one piece. A block of 16 queries makes a row of tiles of scores, one of weights
// and one of sums. The next block's scores are computed before this one's softmax, and outputs written a block later,
// so that neither the tile unit nor the vector unit waits for the other.
#include "kernels/amx_tiles.h"
#include "kernels/attention/bf16_simd.h"
#include "kernels/attention/scratch.h"

namespace laconic::kernels {
namespace {

constexpr std::int64_t kTileWords = kTileBytes / 4;
constexpr std::int64_t kTilePairs = 2 * kTileColumns;  // bfloat16 in a row of a tile

static_assert(kTileWords == kWordsOfTile);

using Block = TileScratch::Block;

inline void PackKeys(const AttentionArgs& args, const TileScratch& scratch) {
  std::uint32_t* out = scratch.k;
  for (std::int64_t j = 0; j < args.keys; j += kTileColumns) {
    for (std::int64_t d = 0; d < args.head_dim; d += kTilePairs) {
      __m512i words[16];
      LoadKeys(args, j, d, words);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        _mm512_store_si512(out + i * kTileColumns, words[i]);
      }
      out += kTileWords;
    }
  }
}

inline void PackValues(const AttentionArgs& args, const TileScratch& scratch) {
  std::uint32_t* out = scratch.v;
  for (std::int64_t j = 0; j < args.keys; j += kTilePairs) {
    for (std::int64_t d = 0; d < scratch.dim_steps * kTilePairs; d += kTileColumns) {
      for (std::int64_t i = 0; i < kTileRows; ++i) {
        _mm512_store_si512(out + i * kTileColumns, LoadValues(args, j + 2 * i, d));
      }
      out += kTileWords;
    }
  }
}

inline std::int64_t BlockRows(const AttentionArgs& args, std::int64_t first) {
  return args.queries - first < kTileRows ? args.queries - first : kTileRows;
}

// Of the block of queries that begins at `first`, as the functions below.
inline void Score(const AttentionArgs& args, const TileScratch& scratch, std::int64_t first, const Block& block) {
  for (std::int64_t r = 0; r < BlockRows(args, first); ++r) {
    for (std::int64_t step = 0; step < scratch.dim_steps; ++step) {
      _mm512_store_si512(scratch.q + (step * kTileRows + r) * kTilePairs,
                         LoadQuery(args, first + r, step * kTilePairs));
    }
  }
  MultiplyTiles<BF16Products>(scratch.dim_steps, scratch.key_tiles, scratch.q,
                              {scratch.k, kTileBytes, scratch.dim_steps * kTileBytes}, block.scores);
}

inline void Sum(const AttentionArgs& args, const TileScratch& scratch, std::int64_t first, Block& block) {
  for (std::int64_t r = 0; r < BlockRows(args, first); ++r) {
    block.inv_sums[r] = args.keys == 0 ? 0
                                       : SoftmaxRow(args.keys, block.scores + r * kTileColumns, kTileWords,
                                                    scratch.weights + r * kTilePairs, 2 * kTileWords);
  }
  MultiplyTiles<BF16Products>(scratch.key_steps, 2 * scratch.dim_steps, scratch.weights,
                              {scratch.v, 2 * scratch.dim_steps * kTileBytes, kTileBytes}, block.sums);
}

inline void Write(const AttentionArgs& args, std::int64_t first, const Block& block) {
  for (std::int64_t r = 0; r < BlockRows(args, first); ++r) {
    const Vec16 inv_sum = Set1(block.inv_sums[r]);
    float* out = args.out + (first + r) * args.out_stride;
    for (std::int64_t d = 0; d < args.head_dim; d += kTileColumns) {
      const float* sums = block.sums + d * kTileRows + r * kTileColumns;
      StorePart(out + d, Mul(Load(sums), inv_sum), args.head_dim - d);
    }
  }
}

}  // namespace

void AttentionAmxBF16(const AttentionArgs& args) noexcept {
  if (args.queries == 0) {
    return;
  }
  ScratchParts parts(args.scratch);
  TileScratch scratch = LayOutTiles(args.keys, args.head_dim, &parts);
  PackKeys(args, scratch);
  PackValues(args, scratch);
  ConfigureTiles({});
  Block* block = &scratch.blocks[0];
  Block* other = &scratch.blocks[1];  // scores of the next block of queries, sums of the one before
  Score(args, scratch, 0, *block);
  for (std::int64_t first = 0; first < args.queries; first += kTileRows) {
    if (first + kTileRows < args.queries) {
      Score(args, scratch, first + kTileRows, *other);
    }
    Sum(args, scratch, first, *block);
    if (first > 0) {
      Write(args, first - kTileRows, *other);
    }
    Block* const last = block;
    block = other;
    other = last;
  }
  Write(args, (args.queries - 1) / kTileRows * kTileRows, *other);
  ReleaseTiles();
}

}  // namespace laconic::kernels
