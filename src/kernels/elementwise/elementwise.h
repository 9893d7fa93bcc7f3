// Element-wise functions over arrays: the same that the GEMMs apply to their results, bit for bit on the same level.
#pragma once

#include <cstdint>

#include "kernels/types.h"

namespace laconic::kernels {

// Numerics: relu and add are exact (one rounding for add). With y the true value, avx2 and avx512_vnni, which agree bit
//           for bit, give gelu_erf and gelu_tanh within 3e-7 * max(1, |x|) and tanh within 1.5e-7; scalar uses the C
//           library. NaN stays NaN.
// Threads:  safe on disjoint ranges. y may be one of the inputs.
struct ElementwiseKernels {
  Isa isa = Isa::kScalar;  // the level of the functions below
  void (*activate)(Activation activation, std::int64_t n, const float* x, float* y) noexcept = nullptr;
  void (*add)(std::int64_t n, const float* a, const float* b, float* y) noexcept = nullptr;
};

// Precondition: IsaSupported(isa).
const ElementwiseKernels& GetElementwise(Isa isa) noexcept;

// Each lives in its own file, compiled with its own flags.
void ActivateScalar(Activation activation, std::int64_t n, const float* x, float* y) noexcept;
void ActivateAvx2(Activation activation, std::int64_t n, const float* x, float* y) noexcept;
void ActivateAvx512Vnni(Activation activation, std::int64_t n, const float* x, float* y) noexcept;
void AddScalar(std::int64_t n, const float* a, const float* b, float* y) noexcept;
void AddAvx2(std::int64_t n, const float* a, const float* b, float* y) noexcept;
void AddAvx512Vnni(std::int64_t n, const float* a, const float* b, float* y) noexcept;

}  // namespace laconic::kernels
