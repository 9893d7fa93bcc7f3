// What the GEMMs do with a finished tile: bias, activation, store as f32 or as codes.
#pragma once

#include "kernels/activation_simd.h"
#include "kernels/quantize_static/simd.h"
#include "kernels/types.h"
#include "kernels/vec16.h"

namespace laconic::kernels {
namespace {

struct Tile {
  std::int64_t rows;
  std::int64_t columns;  // the last vector may be part outside
  const float* bias;     // [columns], or null
};

struct OutputTile : Tile {
  float* out;
  std::int64_t out_stride;
};

struct CodesTile : Tile {
  const float* multiplier;  // [columns], or null
  float scale;
  std::int32_t zero_point;
  std::uint8_t* q;
  std::int64_t q_stride;
};

// store(r, value) for activation(value + bias[j]), where columns(j, left)(r) gives the value of row r for the vector of
// columns at j, of which `left` exist, and store_columns(j, left) gives store: what depends on the columns alone is
// loaded once.
template <typename Columns, typename StoreColumns>
inline void FinishTile(Activation activation, const Tile& tile, const Columns& columns,
                       const StoreColumns& store_columns) {
  WithActivation(activation, [&]<Activation kActivation>() {
    for (std::int64_t j = 0; j < tile.columns; j += kLanes) {
      const std::int64_t left = tile.columns - j;
      const auto value = columns(j, left);
      const auto store = store_columns(j, left);
      // -0 added changes nothing.
      const Vec16 bias = tile.bias == nullptr ? Set1(-0.0F) : LoadPart(tile.bias + j, left);
      for (std::int64_t r = 0; r < tile.rows; ++r) {
        store(r, Activate<kActivation>(Add(value(r), bias)));
      }
    }
  });
}

// Not inlined, as WriteTileCodes: in one function with it g++ 12 spills more of GELU's registers.
template <typename Columns>
[[gnu::noinline]] void WriteTile(Activation activation, const OutputTile& tile, const Columns& columns) {
  FinishTile(activation, tile, columns, [&](std::int64_t j, std::int64_t left) {
    return
        [&tile, j, left](std::int64_t r, Vec16 value) { StorePart(tile.out + r * tile.out_stride + j, value, left); };
  });
}

// The codes of the values that WriteTile would write.
template <typename Columns>
[[gnu::noinline]] void WriteTileCodes(Activation activation, const CodesTile& tile, const Columns& columns) {
  const StaticQuantizer quantizer = MakeStaticQuantizer(tile.scale, tile.zero_point);
  FinishTile(activation, tile, columns, [&](std::int64_t j, std::int64_t left) {
    const Vec16 factor = tile.multiplier == nullptr ? Set1(1.0F) : LoadPart(tile.multiplier + j, left);
    return [&, j, left, factor](std::int64_t r, Vec16 value) {
      StorePartU8(tile.q + r * tile.q_stride + j, StaticCodes(quantizer, Mul(value, factor)), left);
    };
  });
}

}  // namespace
}  // namespace laconic::kernels
