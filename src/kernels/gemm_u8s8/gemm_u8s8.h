// Linear layers in INT8: activations affine u8 per row (quantize_rows), weights symmetric s8 per output column.
#pragma once

#include <cstdint>

#include "kernels/types.h"

namespace laconic::kernels {

// 65793 * 255 * 128 < 2^31 <= 65794 * 255 * 128: up to here no s32 sum can overflow, whatever the codes.
inline constexpr std::int64_t kMaxGemmU8S8K = 65793;

// out[i, j] = activation(f32(sum_k a[i, k] w[k, j] - a_zero[i] * sum_k w[k, j]) * a_scale[i] * w_scale[j] + bias[j])
//
// Shapes:   a [m, k] u8; w [k, n] s8, packed; out [m, n] f32, of which columns [n_begin, n_end) are written.
//           Strides in elements. m, n, k may be 0; k <= kMaxGemmU8S8K. No byte outside a's rows is read.
//           With a_is_static the rows have one scale and one zero point, a_static_scale and a_static_zero:
//             out[i, j] = activation(f32(…) * (a_static_scale * w_scale[j]) + bias[j])
//           but a row whose a_scale is NaN gives NaN.
//           With q [m, n] u8: instead of out, which is not written, its codes with one scale for all.
// Numerics: the bracket in s32, exactly; then convert, multiply, multiply, add, each rounded to f32, on every ISA: the
//           value before the activation is the same bits everywhere. Activations: see elementwise.h.
//           q equals what quantize_static makes of out bit for bit, but for what is NaN, whose codes may be any.
// Threads:  safe on disjoint parts of out. Split columns at multiples of panel_columns(n), or rows by moving a,
//           a_scale, a_zero and out; the result does not depend on the split.
struct GemmU8S8Args {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  const std::uint8_t* a = nullptr;
  std::int64_t a_stride = 0;
  const float* a_scale = nullptr;        // [m]
  const std::int32_t* a_zero = nullptr;  // [m]
  bool a_is_static = false;
  float a_static_scale = 1;
  std::int32_t a_static_zero = 0;
  const void* packed = nullptr;    // written by pack for the same k, n and level
  const float* w_scale = nullptr;  // [n]
  const float* bias = nullptr;     // [n], or null for none
  Activation activation = Activation::kNone;
  float* out = nullptr;
  std::int64_t out_stride = 0;
  std::uint8_t* q = nullptr;  // or null: the four below are not used
  std::int64_t q_stride = 0;
  const float* q_multiplier = nullptr;  // [n], or null for none
  float q_scale = 1;
  std::int32_t q_zero = 0;   // 0..255
  std::int64_t n_begin = 0;  // a multiple of panel_columns(n)
  std::int64_t n_end = 0;    // likewise, or n
};

struct GemmU8S8Kernels {
  Isa isa = Isa::kScalar;                                            // the level of the functions below
  std::int64_t (*panel_columns)(std::int64_t n) noexcept = nullptr;  // columns of a packed panel
  std::int64_t (*packed_bytes)(std::int64_t k, std::int64_t n) noexcept = nullptr;
  // w[k, j] lies at w + k * k_stride + j * n_stride. `packed`: packed_bytes(k, n) bytes (a multiple of 64), 64-byte
  // aligned. It holds the column sums too. The format is this level's own.
  void (*pack)(std::int64_t k, std::int64_t n, const std::int8_t* w, std::int64_t k_stride, std::int64_t n_stride,
               void* packed) noexcept = nullptr;
  void (*run)(const GemmU8S8Args& args) noexcept = nullptr;
};

// Precondition: IsaSupported(isa).
const GemmU8S8Kernels& GetGemmU8S8(Isa isa) noexcept;
// Sums as x86 without VNNI saturates them in other runtimes: neighbours along k in pairs (docs/numerics.md). Slow.
const GemmU8S8Kernels& GetSaturatingGemmU8S8() noexcept;

// Each lives in its own file, compiled with its own flags.
void GemmU8S8Scalar(const GemmU8S8Args& args) noexcept;
void GemmU8S8Saturating(const GemmU8S8Args& args) noexcept;
void GemmU8S8Avx2(const GemmU8S8Args& args) noexcept;
void GemmU8S8AvxVnni(const GemmU8S8Args& args) noexcept;
void GemmU8S8Avx512Vnni(const GemmU8S8Args& args) noexcept;
void GemmU8S8AmxInt8(const GemmU8S8Args& args) noexcept;

}  // namespace laconic::kernels
