#include "kernels/elementwise/simd.h"

namespace laconic::kernels {

void ActivateAvx2(Activation activation, std::int64_t n, const float* x, float* y) noexcept {
  ActivateArray(activation, n, x, y);
}

void AddAvx2(std::int64_t n, const float* a, const float* b, float* y) noexcept { AddArrays(n, a, b, y); }

}  // namespace laconic::kernels
