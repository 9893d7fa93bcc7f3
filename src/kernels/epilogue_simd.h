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

// out[r, j] = activation(value(r, j) + bias[j]) by vectors of columns.
template <typename Value>
inline void WriteTile(Activation activation, const OutputTile& tile, const Value& value) {
  WithActivation(activation, [&]<Activation kActivation>() {
    for (std::int64_t r = 0; r < tile.rows; ++r) {
      float* out = tile.out + r * tile.out_stride;
      for (std::int64_t j = 0; j < tile.columns; j += kLanes) {
        const std::int64_t left = tile.columns - j;
        Vec16 x = value(r, j);
        if (tile.bias != nullptr) {
          x = Add(x, LoadPart(tile.bias + j, left));
        }
        StorePart(out + j, Activate<kActivation>(x), left);
      }
    }
  });
}

}  // namespace
}  // namespace laconic::kernels
