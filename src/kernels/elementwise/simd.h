// The element-wise functions for every vector level.
#pragma once

#include "kernels/activation_simd.h"
#include "kernels/elementwise/elementwise.h"

namespace laconic::kernels {
namespace {

inline void ActivateArray(Activation activation, std::int64_t n, const float* x, float* y) {
  WithActivation(activation, [&]<Activation kActivation>() {
    for (std::int64_t i = 0; i < n; i += kLanes) {
      StorePart(y + i, Activate<kActivation>(LoadPart(x + i, n - i)), n - i);
    }
  });
}

inline void AddArrays(std::int64_t n, const float* a, const float* b, float* y) {
  for (std::int64_t i = 0; i < n; i += kLanes) {
    StorePart(y + i, Add(LoadPart(a + i, n - i), LoadPart(b + i, n - i)), n - i);
  }
}

}  // namespace
}  // namespace laconic::kernels
