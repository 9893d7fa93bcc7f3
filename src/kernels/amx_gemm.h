// Matrix products in AMX tiles, for each type of elements that they take.
//
// A panel has 32 columns: 64 bytes of each are two tiles, side by side. A block is 3 tiles of rows by one panel. Of the
// panel a part of the depth stays in L1 while the rows pass by; of the rows a chunk stays in L2 while the panels pass
// by. The sums of a block become outputs during the next block's products, because the tile unit leaves the vector unit
// idle.
//
// The tiles of rows are as few as will do, and all as high as that takes, which the tile configuration says; the last
// begins early enough to be full, so that some rows are computed twice, to the same bits.
//
// Depth, what is summed over, is counted in bytes of a row, as strides and offsets are.
#pragma once

#include <immintrin.h>

#include "kernels/amx_tiles.h"
#include "kernels/panels.h"

namespace laconic::kernels {
namespace {

inline constexpr std::int64_t kBlockTiles = 3;  // of rows
inline constexpr std::int64_t kPanel = 2 * kTileColumns;
inline constexpr std::int64_t kPanelStride = 4 * kPanel;                 // from 4 of depth to the next 4
inline constexpr std::int64_t kSumsStride = 4 * kPanel;                  // from row to row
inline constexpr std::int64_t kTileSumsBytes = kTileRows * kSumsStride;  // of both tiles of columns
inline constexpr std::int64_t kStepBytes = kTileDepth * kPanel;          // of weights
inline constexpr std::int64_t kFetchBytes = 128;                         // a line, and the CPU fetches its neighbour
// In 48 KB of L1: a panel of depth up to 1024, else 768 of it, beside the sums that then come and go. A single block
// reads a panel once, of any depth.
inline constexpr std::int64_t kWholeDepth = 1024;
inline constexpr std::int64_t kDepth = 768;
// About 1 MB of rows, in 2 MB of L2.
inline constexpr std::int64_t kWholeChunkTiles = 64;
inline constexpr std::int64_t kChunkTiles = 24;

// Tiles 0-5 are sums and 6 factors, of `rows` rows; 7 is weights. A block of 2 tiles of rows has factors in 4 too.
inline void ConfigureBlocks(std::int64_t rows) {
  TileConfig config;
  for (int tile = 0; tile < 7; ++tile) {
    config.rows[tile] = static_cast<std::uint8_t>(rows);
  }
  ConfigureTiles(config);
}

// What is multiplied, whatever its elements are.
struct TileOperands {
  std::int64_t m;
  std::int64_t n_begin;
  std::int64_t n_end;
  std::int64_t depth;
  const std::uint8_t* a;  // [m, depth]
  std::int64_t a_stride;
  const std::uint8_t* panels;  // [n / 32][depth / 4][32][4], zeros past n and, up to a multiple of 64, past depth
};

// Rows [row[i], row[i] + rows) for each tile of rows, by 32 columns from `column`.
struct Block {
  std::int64_t tiles;  // 1 to 3
  std::int64_t rows;
  std::int64_t first_row;  // of those that no block before has
  std::int64_t row[kBlockTiles];
  std::int64_t column;
  std::uint8_t* sums;  // [tiles * 16][32], of 4 bytes
};

inline constexpr std::int64_t kPieceRows = 4;
inline constexpr std::int64_t kPiecesOfTile = kTileRows / kPieceRows;

// A block whose outputs are still to be written, in pieces of kPieceRows rows.
struct Pending {
  Block block;
  std::int64_t next;
  std::int64_t pieces;
};

template <typename Elements>
[[gnu::noinline]] void WritePieces(const Elements& elements, Pending& pending, std::int64_t count) {
  const Block& block = pending.block;
  while (count > 0 && pending.next < pending.pieces) {
    const std::int64_t tile = pending.next / kPiecesOfTile;
    const std::int64_t piece = pending.next % kPiecesOfTile;
    const std::int64_t together = count < kPiecesOfTile - piece ? count : kPiecesOfTile - piece;
    const std::int64_t first = piece * kPieceRows;
    const std::int64_t end = first + together * kPieceRows < block.rows ? first + together * kPieceRows : block.rows;
    const bool written = block.row[tile] + end <= block.first_row + tile * block.rows;  // by the tile before
    if (first < end && !written) {
      elements.Write(block.row[tile] + first, end - first, block.column,
                     block.sums + pending.next * kPieceRows * kSumsStride);
    }
    count -= together;
    pending.next += together;
  }
}

// The factors and weights of a part of the depth.
struct Part {
  const std::uint8_t* a[kBlockTiles];  // a tile of rows each
  std::int64_t a_stride;
  const std::uint8_t* w;
  std::int64_t tiles;  // full ones
  std::int64_t rest;   // of depth
  bool first;          // sums = a w, else sums += a w
  // While the rows pass by, the next panel is fetched to L2: with each step a block's share of the 2 KB at this depth.
  std::int64_t fetch_begin;  // from w
  std::int64_t fetch_end;
};

// sums += a w for 64 of depth. Tile loads from L2 are marked as streaming, so that w stays in L1.
template <typename Elements, int kRowTiles>
inline void MultiplyStep(const std::uint8_t* const (&a)[kBlockTiles], std::int64_t a_stride, const std::uint8_t* w) {
  const std::uint8_t* w1 = w + kPanelStride / 2;
  if constexpr (kRowTiles == 3) {
    StreamTile<6>(a[0], a_stride);
    LoadTile<7>(w, kPanelStride);
    Elements::Products::template Add<0, 6, 7>();
    LoadTile<7>(w1, kPanelStride);
    Elements::Products::template Add<1, 6, 7>();
    StreamTile<6>(a[1], a_stride);
    Elements::Products::template Add<3, 6, 7>();
    LoadTile<7>(w, kPanelStride);
    Elements::Products::template Add<2, 6, 7>();
    StreamTile<6>(a[2], a_stride);
    Elements::Products::template Add<4, 6, 7>();
    LoadTile<7>(w1, kPanelStride);
    Elements::Products::template Add<5, 6, 7>();
    return;
  }
  StreamTile<6>(a[0], a_stride);
  LoadTile<7>(w, kPanelStride);
  Elements::Products::template Add<0, 6, 7>();
  if constexpr (kRowTiles == 2) {
    StreamTile<4>(a[1], a_stride);
    Elements::Products::template Add<2, 4, 7>();
  }
  LoadTile<7>(w1, kPanelStride);
  Elements::Products::template Add<1, 6, 7>();
  if constexpr (kRowTiles == 2) {
    Elements::Products::template Add<3, 4, 7>();
  }
}

// The last factors of the rows are copied, so that nothing past them is read; their weights are padded with zeros.
template <typename Elements, int kRowTiles>
[[gnu::noinline]] void MultiplyRest(const Part& part, std::int64_t rows) {
  alignas(64) std::uint8_t factors[kRowTiles][kTileRows * kTileDepth] = {};
  const std::uint8_t* a[kBlockTiles] = {};
  for (int tile = 0; tile < kRowTiles; ++tile) {
    a[tile] = factors[tile];
    for (std::int64_t r = 0; r < rows; ++r) {
      __builtin_memcpy(factors[tile] + r * kTileDepth, part.a[tile] + part.tiles * kTileDepth + r * part.a_stride,
                       static_cast<unsigned long>(part.rest));
    }
  }
  MultiplyStep<Elements, kRowTiles>(a, kTileDepth, part.w + part.tiles * kStepBytes);
}

// Of tile `kTile` of a block's sums.
template <int kTile>
constexpr std::int64_t SumsOffset() {
  return kTile / 2 * kTileSumsBytes + kTile % 2 * kSumsStride / 2;
}

template <int kRowTiles>
inline void StartSums(const Part& part, const std::uint8_t* sums) {
  if (part.first) {
    ForTiles<2 * kRowTiles>([]<int kTile>() { ZeroTile<kTile>(); });
  } else {
    ForTiles<2 * kRowTiles>([&]<int kTile>() { LoadTile<kTile>(sums + SumsOffset<kTile>(), kSumsStride); });
  }
}

template <int kRowTiles>
inline void StoreSums(std::uint8_t* sums) {
  ForTiles<2 * kRowTiles>([&]<int kTile>() { StoreTile<kTile>(sums + SumsOffset<kTile>(), kSumsStride); });
}

// Writes `pending` meanwhile: before the sums are stored, which may be at the same place.
template <int kRowTiles, typename Elements>
inline void MultiplyPart(const Elements& elements, const Block& block, const Part& part, Pending& pending) {
  StartSums<kRowTiles>(part, block.sums);
  const std::int64_t pieces_a_step = part.tiles == 0 ? 0 : (pending.pieces + part.tiles - 1) / part.tiles;
  const std::uint8_t* a[kBlockTiles] = {part.a[0], part.a[1], part.a[2]};
  for (const std::uint8_t *w = part.w, *end = w + part.tiles * kStepBytes; w < end; w += kStepBytes) {
    MultiplyStep<Elements, kRowTiles>(a, part.a_stride, w);
    for (std::int64_t at = part.fetch_begin; at < part.fetch_end; at += kFetchBytes) {
      _mm_prefetch(reinterpret_cast<const char*>(w + at), _MM_HINT_T1);
    }
    for (int tile = 0; tile < kRowTiles; ++tile) {
      a[tile] += kTileDepth;
    }
    WritePieces(elements, pending, pieces_a_step);
  }
  if (part.rest > 0) {
    MultiplyRest<Elements, kRowTiles>(part, block.rows);
  }
  WritePieces(elements, pending, pending.pieces);
  StoreSums<kRowTiles>(block.sums);
}

// Adds the products of factors [p, p + depth) to the sums of the `index`th of `count` blocks of rows.
template <typename Elements>
inline void AddDepth(const Elements& elements, const Block& block, std::int64_t index, std::int64_t count,
                     std::int64_t p, std::int64_t depth, Pending& pending) {
  const TileOperands& operands = elements.operands;
  const std::int64_t panel_bytes = kPanel * RoundUp(operands.depth, kTileDepth);
  Part part = {{},
               operands.a_stride,
               operands.panels + block.column / kPanel * panel_bytes + p * kPanel,
               depth / kTileDepth,
               depth % kTileDepth,
               p == 0,
               0,
               0};
  for (int tile = 0; tile < block.tiles; ++tile) {
    std::int64_t row = block.row[tile];
    asm("" : "+r"(row));  // else g++ 12 loads two rows as one vector, which waits until both have left the store buffer
    part.a[tile] = operands.a + row * operands.a_stride + p;
  }
  // A single block would fetch a panel in the time of its own loads: it only takes their bandwidth.
  if (count > 1) {
    part.fetch_begin = panel_bytes + kStepBytes / kFetchBytes * index / count * kFetchBytes;
    part.fetch_end = panel_bytes + kStepBytes / kFetchBytes * (index + 1) / count * kFetchBytes;
  }
  if (block.tiles == 3) {
    MultiplyPart<3>(elements, block, part, pending);
  } else if (block.tiles == 2) {
    MultiplyPart<2>(elements, block, part, pending);
  } else {
    MultiplyPart<1>(elements, block, part, pending);
  }
}

// Tiles [begin, end) of `rows` rows each, `depth` at a time.
struct Chunk {
  std::int64_t rows;
  std::int64_t begin;
  std::int64_t end;
  std::int64_t depth;
};

// Tiles [begin, end) of a chunk.
inline Block MakeBlock(std::int64_t m, std::int64_t rows, std::int64_t begin, std::int64_t end, std::int64_t column,
                       std::uint8_t* sums) {
  Block block = {end - begin, rows, begin * rows, {}, column, sums};
  for (std::int64_t i = 0; i < block.tiles; ++i) {
    const std::int64_t row = (begin + i) * rows;
    block.row[i] = row < m - rows ? row : m - rows;
  }
  return block;
}

// Factors [p, p + depth) of all rows of a chunk by the panel at `column`.
template <typename Elements>
inline void RunPanel(const Elements& elements, const Chunk& chunk, std::int64_t column, std::int64_t p,
                     std::uint8_t* sums, Pending& pending) {
  const std::int64_t left = elements.operands.depth - p;
  const std::int64_t tiles = chunk.end - chunk.begin;
  const std::int64_t count = (tiles + kBlockTiles - 1) / kBlockTiles;
  const bool last = left <= chunk.depth;
  for (std::int64_t index = 0; index < count; ++index) {
    // The largest first: the first block brings the panel to L1, at so many tiles of rows a load.
    const std::int64_t begin = (tiles * index + count - 1) / count;
    const std::int64_t end = (tiles * (index + 1) + count - 1) / count;
    // With the depth in one part, a block's sums are soon written: one place will do.
    std::uint8_t* place = sums + (chunk.depth < elements.operands.depth ? begin * kTileSumsBytes : 0);
    const Block block =
        MakeBlock(elements.operands.m, chunk.rows, chunk.begin + begin, chunk.begin + end, column, place);
    AddDepth(elements, block, index, count, p, last ? left : chunk.depth, pending);
    if (last) {
      pending = {block, 0, block.tiles * kPiecesOfTile};
    }
  }
}

template <typename Elements>
inline void RunChunk(const Elements& elements, const Chunk& chunk) {
  alignas(64) std::uint8_t sums[kChunkTiles * kTileSumsBytes];
  Pending pending = {};
  for (std::int64_t column = elements.operands.n_begin; column < elements.operands.n_end; column += kPanel) {
    std::int64_t p = 0;
    do {  // once even if the depth is 0
      RunPanel(elements, chunk, column, p, sums, pending);
      p += chunk.depth;
    } while (p < elements.operands.depth);
  }
  WritePieces(elements, pending, pending.pieces);
}

// Elements: what they are. Has
//   operands, TileOperands
//   Products, of amx_tiles.h
//   Write(row, rows, column, sums), which makes outputs of sums [rows, 32]
template <typename Elements>
inline void RunTiles(const Elements& elements) {
  const auto& [m, n_begin, n_end, depth, a, a_stride, panels] = elements.operands;
  if (m == 0 || n_begin >= n_end) {
    return;
  }
  const std::int64_t tiles = (m + kTileRows - 1) / kTileRows;
  const std::int64_t rows = (m + tiles - 1) / tiles;
  const bool whole = depth <= kWholeDepth || tiles <= kBlockTiles;
  const std::int64_t most = whole ? kWholeChunkTiles : kChunkTiles;
  const std::int64_t chunks = (tiles + most - 1) / most;
  ConfigureBlocks(rows);
  for (std::int64_t i = 0; i < chunks; ++i) {
    RunChunk(elements, {rows, tiles * i / chunks, tiles * (i + 1) / chunks, whole ? depth : kDepth});
  }
  ReleaseTiles();
}

}  // namespace
}  // namespace laconic::kernels
