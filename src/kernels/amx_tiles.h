// AMX tiles: their instructions by tile number, and products of operands that are cut into tiles.
//
// A tile has 16 rows of 64 bytes, 16 words of 4. A product adds to the tile c[r][j], f32 or s32, the sum over w of
// a[r][w] . b[w][j], the words' elements multiplied pairwise: tiles of b hold 16 words of depth of 16 columns.
//
// In asm, since g++ 12 does not know that its own tile loads read memory.
#pragma once

#include <cstdint>

namespace laconic::kernels {
namespace {

inline constexpr std::int64_t kTileRows = 16;
inline constexpr std::int64_t kTileColumns = 16;  // of words
inline constexpr std::int64_t kTileDepth = 64;    // bytes of a row
inline constexpr std::int64_t kTileBytes = kTileRows * kTileDepth;

// What LDTILECFG reads.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

inline void ConfigureTiles(const TileConfig& config) { asm volatile("ldtilecfg %0" : : "m"(config)); }
inline void ReleaseTiles() { asm volatile("tilerelease"); }

template <int kTile>
inline void ZeroTile() {
  asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
}
template <int kTile>
inline void LoadTile(const void* rows, std::int64_t stride) {
  asm volatile("tileloadd (%1,%2,1), %%tmm%c0" : : "i"(kTile), "r"(rows), "r"(stride) : "memory");
}
// Of rows that will not be read again soon: what is in L1 stays there.
template <int kTile>
inline void StreamTile(const void* rows, std::int64_t stride) {
  asm volatile("tileloaddt1 (%1,%2,1), %%tmm%c0" : : "i"(kTile), "r"(rows), "r"(stride) : "memory");
}
template <int kTile>
inline void StoreTile(void* rows, std::int64_t stride) {
  asm volatile("tilestored %%tmm%c0, (%1,%2,1)" : : "i"(kTile), "r"(rows), "r"(stride) : "memory");
}

// Products of unsigned bytes in a and signed ones in b, summed in s32.
struct U8S8Products {
  template <int kC, int kA, int kB>
  static void Add() {
    asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
  }
};
// Products of bfloat16, summed in f32.
struct BF16Products {
  template <int kC, int kA, int kB>
  static void Add() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
  }
};

// body.template operator()<tile>() for tiles 0 to kCount - 1.
template <int kCount, typename Body>
inline void ForTiles(const Body& body) {
  if constexpr (kCount > 0) {
    ForTiles<kCount - 1>(body);
    body.template operator()<kCount - 1>();
  }
}

// b as tiles [depth][columns] in any order.
struct TileMatrix {
  const void* tiles;
  std::int64_t depth_stride;   // bytes
  std::int64_t column_stride;  // bytes
};

template <typename Products, int kColumns>
inline void MultiplyColumns(std::int64_t depth, const std::uint8_t* a, const TileMatrix& b, const std::uint8_t* b_tiles,
                            std::uint8_t* c) {
  constexpr int kA = 4;
  constexpr int kB = 5;  // to 7, in turn
  ForTiles<kColumns>([]<int kTile>() { ZeroTile<kTile>(); });
  for (std::int64_t step = 0; step < depth; ++step) {
    LoadTile<kA>(a + step * kTileBytes, kTileDepth);
    ForTiles<kColumns>([&]<int kTile>() {
      constexpr int kBTile = kB + kTile % 3;
      LoadTile<kBTile>(b_tiles + step * b.depth_stride + kTile * b.column_stride, kTileDepth);
      Products::template Add<kTile, kA, kBTile>();
    });
  }
  ForTiles<kColumns>([&]<int kTile>() { StoreTile<kTile>(c + kTile * kTileBytes, kTileDepth); });
}

// c = a b, for a of 16 rows as tiles [depth], c likewise as tiles [columns].
template <typename Products>
inline void MultiplyTiles(std::int64_t depth, std::int64_t columns, const void* a, const TileMatrix& b, void* c) {
  const auto* a_tiles = static_cast<const std::uint8_t*>(a);
  const auto* b_tiles = static_cast<const std::uint8_t*>(b.tiles);
  auto* c_tiles = static_cast<std::uint8_t*>(c);
  std::int64_t j = 0;
  const auto multiply = [&]<int kColumns>() {
    MultiplyColumns<Products, kColumns>(depth, a_tiles, b, b_tiles + j * b.column_stride, c_tiles + j * kTileBytes);
  };
  for (; j + 4 <= columns; j += 4) {
    multiply.template operator()<4>();
  }
  if (j + 2 <= columns) {
    multiply.template operator()<2>();
    j += 2;
  }
  if (j < columns) {
    multiply.template operator()<1>();
  }
}

}  // namespace
}  // namespace laconic::kernels
