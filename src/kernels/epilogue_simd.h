// What the GEMMs do with a finished tile: bias, activation, store.
#pragma once

#include "kernels/activation_simd.h"
#include "kernels/types.h"
#include "kernels/vec16.h"

namespace laconic::kernels {
namespace {

struct OutputTile {
  std::int64_t rows;
  std::int64_t columns;  // the last vector may be part outside
  const float* bias;     // [columns], or null
  float* out;
  std::int64_t out_stride;
};

// out[r, j] = activation(value + bias[j]), where columns(j, left)(r) gives the value of row r for the vector of columns
// at j, of which `left` exist: what depends on the columns alone is loaded once.
template <typename Columns>
inline void WriteTile(Activation activation, const OutputTile& tile, const Columns& columns) {
  WithActivation(activation, [&]<Activation kActivation>() {
    for (std::int64_t j = 0; j < tile.columns; j += kLanes) {
      const std::int64_t left = tile.columns - j;
      const auto value = columns(j, left);
      // -0 added changes nothing.
      const Vec16 bias = tile.bias == nullptr ? Set1(-0.0F) : LoadPart(tile.bias + j, left);
      for (std::int64_t r = 0; r < tile.rows; ++r) {
        StorePart(tile.out + r * tile.out_stride + j, Activate<kActivation>(Add(value(r), bias)), left);
      }
    }
  });
}

}  // namespace
}  // namespace laconic::kernels
