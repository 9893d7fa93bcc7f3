// Linear layers in f32, with weights kept as f32, f16 or bf16.
#pragma once

#include <cstdint>

#include "kernels/types.h"

namespace laconic::kernels {

// out[i, j] = activation(sum_k a[i, k] w[k, j] + bias[j])
//
// Shapes:   a [m, k] f32; w [k, n], packed; out [m, n] f32, of which columns [n_begin, n_end) are written.
//           Strides in elements. m, n, k may be 0.
// Numerics: each output is one chain over k in ascending order, from 0, in f32, whatever m, n or the split; then one
//           addition of the bias. avx2 and avx512_vnni fuse each step (fma) and agree bit for bit; scalar rounds the
//           product too. f16 and bf16 weights are converted exactly. Both lie within k * 2^-23 * sum_k |a w| of the
//           true sum. Activations: see elementwise.h.
// Threads:  safe on disjoint parts of out. Split columns at multiples of panel_columns(n), or rows by moving a and out.
struct GemmF32Args {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  const float* a = nullptr;
  std::int64_t a_stride = 0;
  const void* packed = nullptr;  // written by pack for the same k, n, type and level
  WeightType type = WeightType::kF32;
  const float* bias = nullptr;  // [n], or null for none
  Activation activation = Activation::kNone;
  float* out = nullptr;
  std::int64_t out_stride = 0;
  std::int64_t n_begin = 0;  // a multiple of panel_columns(n)
  std::int64_t n_end = 0;    // likewise, or n
};

struct GemmF32Kernels {
  Isa isa = Isa::kScalar;                                            // the level of the functions below
  std::int64_t (*panel_columns)(std::int64_t n) noexcept = nullptr;  // columns of a packed panel
  std::int64_t (*packed_bytes)(std::int64_t k, std::int64_t n, WeightType type) noexcept = nullptr;
  // `packed`: packed_bytes(k, n, type) bytes (a multiple of 64), 64-byte aligned. The format is this level's own; the
  // weights keep their type.
  void (*pack)(std::int64_t k, std::int64_t n, const FloatWeights& weights, void* packed) noexcept = nullptr;
  void (*run)(const GemmF32Args& args) noexcept = nullptr;
};

// Precondition: IsaSupported(isa).
const GemmF32Kernels& GetGemmF32(Isa isa) noexcept;

// Each lives in its own file, compiled with its own flags.
void GemmF32Scalar(const GemmF32Args& args) noexcept;
void GemmF32Avx2(const GemmF32Args& args) noexcept;
void GemmF32Avx512Vnni(const GemmF32Args& args) noexcept;

}  // namespace laconic::kernels
