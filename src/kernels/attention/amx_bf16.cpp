// attention with operands rounded to bfloat16, its products in AMX tiles.
//
// All operands lie as tiles, each in one piece. A block of 16 queries makes a row of tiles of scores, one of weights
// and one of sums. The next block's scores are computed before this one's softmax, and outputs written a block later,
// so that neither the tile unit nor the vector unit waits for the other.
#include "kernels/amx_tiles.h"
#include "kernels/attention/bf16_simd.h"
#include "kernels/panels.h"

namespace laconic::kernels {
namespace {

constexpr std::int64_t kTileWords = kTileBytes / 4;
constexpr std::int64_t kTilePairs = 2 * kTileColumns;  // bfloat16 in a row of a tile

// A block's; two blocks are under way.
struct Block {
  float* scores;  // tiles [key_tiles] of [16 queries][16 keys]
  float* sums;    // tiles [2 * dim_steps] of [16 queries][16 of head_dim]
  float inv_sums[kTileRows];
};

struct Scratch {
  std::int64_t dim_steps;  // of 32 of head_dim
  std::int64_t key_tiles;  // of 16 keys
  std::int64_t key_steps;  // of 32 keys
  std::uint32_t* k;        // tiles [key_tiles][dim_steps] of [16 pairs of head_dim][16 keys]
  std::uint32_t* v;        // tiles [key_steps][2 * dim_steps] of [16 pairs of keys][16 of head_dim]
  std::uint16_t* q;        // tiles [dim_steps] of [16 queries][32 of head_dim]; rows past the queries are anything
  std::uint16_t* weights;  // tiles [key_steps] of [16 queries][32 keys]; likewise
  Block blocks[2];
};

// As BFloat16TilesScratchBytes (dispatch.cpp) counts.
inline Scratch SplitScratch(const AttentionArgs& args) {
  Scratch scratch = {};
  scratch.dim_steps = RoundUp(args.head_dim, kTilePairs) / kTilePairs;
  scratch.key_tiles = RoundUp(args.keys, kTileColumns) / kTileColumns;
  scratch.key_steps = RoundUp(args.keys, kTilePairs) / kTilePairs;
  auto* next = static_cast<std::uint8_t*>(args.scratch);
  const auto take = [&](std::int64_t tiles) {
    std::uint8_t* taken = next;
    next += tiles * kTileBytes;
    return static_cast<void*>(taken);
  };
  scratch.k = static_cast<std::uint32_t*>(take(scratch.key_tiles * scratch.dim_steps));
  scratch.v = static_cast<std::uint32_t*>(take(scratch.key_steps * 2 * scratch.dim_steps));
  scratch.q = static_cast<std::uint16_t*>(take(scratch.dim_steps));
  scratch.weights = static_cast<std::uint16_t*>(take(scratch.key_steps));
  for (Block& block : scratch.blocks) {
    block.scores = static_cast<float*>(take(scratch.key_tiles));
    block.sums = static_cast<float*>(take(2 * scratch.dim_steps));
  }
  return scratch;
}

inline void PackKeys(const AttentionArgs& args, const Scratch& scratch) {
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

inline void PackValues(const AttentionArgs& args, const Scratch& scratch) {
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
inline void Score(const AttentionArgs& args, const Scratch& scratch, std::int64_t first, const Block& block) {
  for (std::int64_t r = 0; r < BlockRows(args, first); ++r) {
    for (std::int64_t step = 0; step < scratch.dim_steps; ++step) {
      _mm512_store_si512(scratch.q + (step * kTileRows + r) * kTilePairs,
                         LoadQuery(args, first + r, step * kTilePairs));
    }
  }
  MultiplyTiles<BF16Products>(scratch.dim_steps, scratch.key_tiles, scratch.q,
                              {scratch.k, kTileBytes, scratch.dim_steps * kTileBytes}, block.scores);
}

inline void Sum(const AttentionArgs& args, const Scratch& scratch, std::int64_t first, Block& block) {
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
  Scratch scratch = SplitScratch(args);
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
