// Layer normalization over rows, with the residual before it and the quantization after it in the same pass.
#pragma once

#include <cstdint>

#include "kernels/types.h"

namespace laconic::kernels {

// t = x + residual (or x); out = (t - mean(t)) / sqrt(mean((t - mean(t))^2) + epsilon) * gamma + beta
//
// Shapes:   x, residual, out [rows, cols] f32; gamma, beta [cols]. Strides in elements. out may be x or residual.
// Numerics: two passes in f32, sums in 64 interleaved chains (scalar: in f64); a row's result depends on the row alone;
//           avx2 and avx512_vnni agree bit for bit.
//           With q: also what quantize_rows gives for out and q_multiplier, bit for bit; or, where q_is_static, what
//           quantize_static gives.
// Threads:  safe on disjoint rows.
struct LayerNormArgs {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  const float* x = nullptr;
  std::int64_t x_stride = 0;
  const float* residual = nullptr;  // or null
  std::int64_t residual_stride = 0;
  const float* gamma = nullptr;
  const float* beta = nullptr;
  float epsilon = 0;
  float* out = nullptr;
  std::int64_t out_stride = 0;
  std::uint8_t* q = nullptr;  // [rows, cols] u8, or null: then q_scale and q_zero are not used
  std::int64_t q_stride = 0;
  const float* q_multiplier = nullptr;  // [cols], or null
  float* q_scale = nullptr;             // [rows]
  std::int32_t* q_zero = nullptr;       // [rows]
  bool q_is_static = false;
  float static_scale = 1;
  std::int32_t static_zero = 0;  // 0..255
};

struct LayerNormKernels {
  Isa isa = Isa::kScalar;  // the level of the functions below
  void (*run)(const LayerNormArgs& args) noexcept = nullptr;
};

// Precondition: IsaSupported(isa).
const LayerNormKernels& GetLayerNorm(Isa isa) noexcept;

// Each lives in its own file, compiled with its own flags.
void LayerNormScalar(const LayerNormArgs& args) noexcept;
void LayerNormAvx2(const LayerNormArgs& args) noexcept;
void LayerNormAvx512Vnni(const LayerNormArgs& args) noexcept;

}  // namespace laconic::kernels
