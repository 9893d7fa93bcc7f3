#include "kernels/gemm_u8s8/simd.h"

// A panel has 32 columns: 64 of k are two tiles, side by side. A block is 2 tiles of rows by one panel. Of the panel a
// part of kDepth stays in L1 while the rows pass by; of the rows a chunk stays in L2 while the panels pass by. The sums
// of a block become outputs during the next block's products, because the tile unit leaves the vector unit idle.
//
// The last tile of rows begins early enough to be full: some rows are then computed twice, to the same bits. If there
// are fewer than 16 rows, the tile configuration says so.

namespace laconic::kernels {
namespace {

constexpr std::int64_t kTileRows = 16;
constexpr std::int64_t kTileColumns = 16;
constexpr std::int64_t kTileDepth = 64;  // of k
constexpr std::int64_t kTileSums = kTileRows * kTileColumns;
constexpr std::int64_t kBlockSums = 4 * kTileSums;
constexpr std::int64_t kPanel = 2 * kTileColumns;
constexpr std::int64_t kPanelStride = 4 * kPanel;  // bytes from 4 of k to the next 4
constexpr std::int64_t kLineBytes = 64;
constexpr std::int64_t kStepLines = kTileDepth * kPanel / kLineBytes;
constexpr std::int64_t kDepth = 1024;     // of a panel, 32 KB, in 48 KB of L1
constexpr std::int64_t kChunkTiles = 32;  // 512 rows

// g++ 12 does not know that tile loads read memory.
inline void FinishStores() { asm volatile("" ::: "memory"); }

// What LDTILECFG reads.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {};
};

// Tiles 0-3 are sums and 4-5 codes, of `rows` rows; 6-7 are weights.
inline void ConfigureTiles(std::int64_t rows) {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) {
    config.rows[tile] = static_cast<std::uint8_t>(tile < 6 ? rows : kTileRows);
  }
  FinishStores();
  _tile_loadconfig(&config);
}

// Rows [row[i], row[i] + rows) for each tile of rows, by 32 columns from `column`.
struct Block {
  std::int64_t row_tiles;  // 1 or 2
  std::int64_t rows;
  std::int64_t row[2];
  std::int64_t column;
  std::int32_t* sums;  // [row_tiles][2][16][16]
  std::int64_t index;  // among the chunk's `count` blocks of these columns
  std::int64_t count;
};

constexpr std::int64_t kPieceRows = 4;
constexpr std::int64_t kPiecesOfTile = kTileRows / kPieceRows;

// A block whose outputs are still to be written, in pieces of kPieceRows rows of a tile.
struct Pending {
  Block block;
  std::int64_t next;
  std::int64_t pieces;
};

[[gnu::noinline]] void WritePieces(const GemmU8S8Args& args, Pending& pending, std::int64_t count) {
  const Block& block = pending.block;
  for (; count > 0 && pending.next < pending.pieces; --count, ++pending.next) {
    const std::int64_t tile = pending.next / kPiecesOfTile;
    const std::int64_t first = pending.next % kPiecesOfTile * kPieceRows;
    const std::int64_t rows = block.rows - first < kPieceRows ? block.rows - first : kPieceRows;
    const std::int64_t column = block.column + tile % 2 * kTileColumns;
    const std::int64_t left = args.n_end - column;
    if (rows > 0 && left > 0) {
      WriteSums(args, block.row[tile / 2] + first, rows, column, left < kTileColumns ? left : kTileColumns,
                block.sums + tile * kTileSums + first * kTileColumns, kTileColumns);
    }
  }
}

// The codes and weights of a part of k.
struct Part {
  const std::uint8_t* a[2];  // a tile of rows each
  std::int64_t a_stride;
  const std::int8_t* w;
  std::int64_t tiles;  // of k
  bool first;          // sums = a w, else sums += a w
  // While the rows pass by, the next panel is fetched to L2: with each step of k a block's share of the 2 KB at this k.
  std::int64_t fetch_begin;  // bytes from w
  std::int64_t fetch_end;
};

// Writes `pending` meanwhile: before the sums are stored, which may be at the same place.
template <int kRowTiles>
inline void Multiply(const GemmU8S8Args& args, const Part& part, std::int32_t* sums, Pending& pending) {
  if (part.first) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    _tile_loadd(0, sums, 64);
    _tile_loadd(1, sums + kTileSums, 64);
    if constexpr (kRowTiles == 2) {
      _tile_loadd(2, sums + 2 * kTileSums, 64);
      _tile_loadd(3, sums + 3 * kTileSums, 64);
    }
  }
  const std::int64_t pieces_a_step = part.tiles == 0 ? 0 : (pending.pieces + part.tiles - 1) / part.tiles;
  for (std::int64_t t = 0; t < part.tiles; ++t) {
    _tile_stream_loadd(4, part.a[0] + t * kTileDepth, part.a_stride);
    _tile_loadd(6, part.w + t * kTileDepth * kPanel, kPanelStride);
    _tile_loadd(7, part.w + t * kTileDepth * kPanel + kPanelStride / 2, kPanelStride);
    for (std::int64_t at = part.fetch_begin; at < part.fetch_end; at += kLineBytes) {
      _mm_prefetch(reinterpret_cast<const char*>(part.w + t * kTileDepth * kPanel + at), _MM_HINT_T1);
    }
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    if constexpr (kRowTiles == 2) {
      _tile_stream_loadd(5, part.a[1] + t * kTileDepth, part.a_stride);
      _tile_dpbusd(2, 5, 6);
      _tile_dpbusd(3, 5, 7);
    }
    WritePieces(args, pending, pieces_a_step);
  }
  WritePieces(args, pending, pending.pieces);
  _tile_stored(0, sums, 64);
  _tile_stored(1, sums + kTileSums, 64);
  if constexpr (kRowTiles == 2) {
    _tile_stored(2, sums + 2 * kTileSums, 64);
    _tile_stored(3, sums + 3 * kTileSums, 64);
  }
  FinishStores();
}

inline void MultiplyRowTiles(const GemmU8S8Args& args, const Block& block, const Part& part, Pending& pending) {
  if (block.row_tiles == 2) {
    Multiply<2>(args, part, block.sums, pending);
  } else {
    Multiply<1>(args, part, block.sums, pending);
  }
}

// Adds codes [p, p + depth) to the block's sums.
inline void AddDepth(const GemmU8S8Args& args, const Block& block, std::int64_t p, std::int64_t depth,
                     Pending& pending) {
  const std::int8_t* w = static_cast<const std::int8_t*>(args.packed) + SumsBytes(args.n, kPanel) +
                         block.column * RoundUp(args.k, kTileDepth) + p * kPanel;
  const std::int64_t next = kPanel * RoundUp(args.k, kTileDepth);
  Part part = {{},
               args.a_stride,
               w,
               depth / kTileDepth,
               p == 0,
               next + kStepLines * block.index / block.count * kLineBytes,
               next + kStepLines * (block.index + 1) / block.count * kLineBytes};
  for (int tile = 0; tile < block.row_tiles; ++tile) {
    part.a[tile] = args.a + block.row[tile] * args.a_stride + p;
  }
  const std::int64_t rest = depth % kTileDepth;
  if (part.tiles > 0 || rest == 0) {
    MultiplyRowTiles(args, block, part, pending);
  }
  if (rest == 0) {
    return;
  }
  // The last codes of the rows are copied, so that nothing past them is read; their weights are padded with zeros.
  alignas(64) std::uint8_t codes[2][kTileRows * kTileDepth] = {};
  for (int tile = 0; tile < block.row_tiles; ++tile) {
    for (std::int64_t r = 0; r < block.rows; ++r) {
      __builtin_memcpy(codes[tile] + r * kTileDepth, part.a[tile] + part.tiles * kTileDepth + r * args.a_stride,
                       static_cast<unsigned long>(rest));
    }
  }
  FinishStores();
  const Part tail = {
      {codes[0], codes[1]}, kTileDepth, w + part.tiles * kTileDepth * kPanel, 1, part.first && part.tiles == 0};
  MultiplyRowTiles(args, block, tail, pending);
}

// Tiles [begin, end) of rows by all columns.
inline void RunChunk(const GemmU8S8Args& args, std::int64_t begin, std::int64_t end) {
  alignas(64) std::int32_t sums[kChunkTiles / 2 * kBlockSums];
  const std::int64_t rows = args.m < kTileRows ? args.m : kTileRows;
  Pending pending = {};
  for (std::int64_t column = args.n_begin; column < args.n_end; column += kPanel) {
    std::int64_t p = 0;
    do {  // once even if k is 0
      const std::int64_t depth = args.k - p < kDepth ? args.k - p : kDepth;
      for (std::int64_t tile = begin; tile < end; tile += 2) {
        const std::int64_t last = args.m - rows;
        const std::int64_t row0 = tile * kTileRows < last ? tile * kTileRows : last;
        const std::int64_t row1 = row0 + kTileRows < last ? row0 + kTileRows : last;
        // With k in one part, a block's sums are soon written: one place will do.
        std::int32_t* place = sums + (args.k > kDepth ? (tile - begin) / 2 * kBlockSums : 0);
        const Block block = {end - tile > 1 ? 2 : 1, rows, {row0, row1}, column, place, (tile - begin) / 2,
                             (end - begin + 1) / 2};
        AddDepth(args, block, p, depth, pending);
        if (p + depth == args.k) {
          pending = {block, 0, block.row_tiles * 2 * kPiecesOfTile};
        }
      }
      p += kDepth;
    } while (p < args.k);
  }
  WritePieces(args, pending, pending.pieces);
}

}  // namespace

void GemmU8S8AmxInt8(const GemmU8S8Args& args) noexcept {
  if (args.m == 0 || args.n_begin >= args.n_end) {
    return;
  }
  ConfigureTiles(args.m < kTileRows ? args.m : kTileRows);
  const std::int64_t tiles = (args.m + kTileRows - 1) / kTileRows;
  for (std::int64_t begin = 0; begin < tiles; begin += kChunkTiles) {
    RunChunk(args, begin, tiles - begin < kChunkTiles ? tiles : begin + kChunkTiles);
  }
  _tile_release();
}

}  // namespace laconic::kernels
