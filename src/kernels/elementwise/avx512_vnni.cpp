#include "kernels/elementwise/simd.h"

namespace laconic::kernels {

void ActivateAvx512Vnni(Activation activation, std::int64_t n, const float* x, float* y) noexcept {
  ActivateArray(activation, n, x, y);
}

void AddAvx512Vnni(std::int64_t n, const float* a, const float* b, float* y) noexcept { AddArrays(n, a, b, y); }

}  // namespace laconic::kernels
