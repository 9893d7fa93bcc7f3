// What the GEMMs do with the sums of a finished tile: scale, bias, activation, store as f32 or as codes.
#pragma once

#include "kernels/activation_simd.h"
#include "kernels/quantize_static/simd.h"
#include "kernels/types.h"
#include "kernels/vec16.h"

namespace laconic::kernels {
namespace {

// Where a tile's values come from (FinishColumns says what a source and a sink have): f32 sums
// [rows, kVecs * 16].
template <int kVecs>
struct F32Sums {
  struct Column {};

  const float* sums;

  [[gnu::always_inline]] Column At(std::int64_t /*j*/, std::int64_t /*left*/) const { return {}; }
  [[gnu::always_inline]] Vec16 Value(const Column& /*column*/, std::int64_t r, std::int64_t j, Vec16 bias) const {
    return Add(Load(sums + r * kVecs * kLanes + j), bias);
  }
};

// Where they go: rows of f32.
struct F32Rows {
  struct Column {};

  float* out;
  std::int64_t out_stride;

  [[gnu::always_inline]] Column At(std::int64_t /*j*/, std::int64_t /*left*/) const { return {}; }
  [[gnu::always_inline]] void Put(const Column& /*column*/, std::int64_t r, std::int64_t j, std::int64_t left,
                                  Vec16 value) const {
    StorePart(out + r * out_stride + j, value, left);
  }
};

// Or the codes of what F32Rows would hold, times a factor a column.
struct StaticCodeRows {
  struct Column {
    Vec16 factor_quotient;
  };

  StaticQuantizer quantizer;
  const float* multiplier;  // [columns], or null: 1
  std::uint8_t* q;
  std::int64_t q_stride;

  [[gnu::always_inline]] Column At(std::int64_t j, std::int64_t left) const {
    return {Mul(LoadFactor(multiplier, j, left), quantizer.inv_scale)};
  }
  [[gnu::always_inline]] void Put(const Column& column, std::int64_t r, std::int64_t j, std::int64_t left,
                                  Vec16 value) const {
    const auto product = [&] { return Mul(value, LoadFactor(multiplier, j, left)); };
    StorePartLowBytes(q + r * q_stride + j, StaticCodes(quantizer, column.factor_quotient, value, product), left);
  }
};

struct Tile {
  std::int64_t rows;
  std::int64_t columns;
  const float* bias;  // [columns], or null
};

// Finishes kVecs vectors of columns from j on, the last of which may be in part outside: left columns are there. What
// depends on a column alone is loaded once (At), and waits in registers while the rows pass by.
template <int kVecs, Activation kActivation, typename Source, typename Sink>
[[gnu::always_inline]] inline void FinishColumns(const Tile& tile, std::int64_t j, std::int64_t left,
                                                 const Source& source, const Sink& sink) {
  typename Source::Column from[kVecs];
  typename Sink::Column to[kVecs];
  Vec16 bias[kVecs];
#pragma GCC unroll 4
  for (int v = 0; v < kVecs; ++v) {
    const std::int64_t first = j + v * kLanes;
    from[v] = source.At(first, left - v * kLanes);
    to[v] = sink.At(first, left - v * kLanes);
    // -0 added changes nothing.
    bias[v] = tile.bias == nullptr ? Set1(-0.0F) : LoadPart(tile.bias + first, left - v * kLanes);
  }
  for (std::int64_t r = 0; r < tile.rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      const std::int64_t first = j + v * kLanes;
      const Vec16 value = Activate<kActivation>(source.Value(from[v], r, first, bias[v]));
      sink.Put(to[v], r, first, left - v * kLanes, value);
    }
  }
}

// A tile of at most kVecs vectors of columns. To be called from a function of its own for each activation, not inlined
// and handed few arguments: then all that the loops need stays in registers.
template <int kVecs, Activation kActivation, typename Source, typename Sink>
[[gnu::always_inline]] inline void FinishTile(const Tile& tile, const Source& source, const Sink& sink) {
  if (tile.columns == kVecs * kLanes) {
    return FinishColumns<kVecs, kActivation>(tile, 0, kVecs * kLanes, source, sink);
  }
  for (std::int64_t j = 0; j < tile.columns; j += kLanes) {
    FinishColumns<1, kActivation>(tile, j, tile.columns - j, source, sink);
  }
}

}  // namespace
}  // namespace laconic::kernels
