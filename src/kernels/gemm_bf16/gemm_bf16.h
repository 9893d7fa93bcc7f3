// Linear layers whose operands are bfloat16, summed in f32.
#pragma once

#include <cstdint>

#include "kernels/types.h"

namespace laconic::kernels {

// out[i, j] = activation(sum_k a[i, k] w[k, j] + bias[j])
//
// Shapes:   a [m, k] bfloat16 as 16-bit words; an odd k has one element of 0 more. w [k, n], packed. out [m, n] f32, or
//           rounded [m, n] bfloat16 (an odd n has one element of 0 more), of which columns [n_begin, n_end) are
//           written. Strides in elements. m, n, k may be 0.
// Numerics: each product exact and each sum rounded to f32, where subnormals are 0, operands too; the order depends on
// k
//           and the level alone, not on m, n or the split. Below amx: one chain from 0, pair after pair in ascending k,
//           of a pair the second product first (vdpbf16ps), the same bits on every level. At amx: of 32 k at a time
//           (zeros past k) a chain from 0 over the even and one over the odd, and their sum is added to what came
//           before, at first 0 (tdpbf16ps). Then the bias and the activation in f32 (elementwise.h), and for `rounded`
//           RoundToBFloat16.
// Threads:  safe on disjoint parts of out. Split columns at multiples of panel_columns(n), or rows by moving a and out.
struct GemmBF16Args {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  const std::uint16_t* a = nullptr;
  std::int64_t a_stride = 0;
  const void* packed = nullptr;  // written by pack for the same k, n and level
  const float* bias = nullptr;   // [n], or null for none
  Activation activation = Activation::kNone;
  float* out = nullptr;
  std::uint16_t* rounded = nullptr;  // instead of out
  std::int64_t out_stride = 0;       // of either
  std::int64_t n_begin = 0;          // a multiple of panel_columns(n)
  std::int64_t n_end = 0;            // likewise, or n
};

// out = x as bfloat16: rows of `cols` elements, and one of 0 more where cols is odd.
struct RoundRowsArgs {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  const float* x = nullptr;
  std::int64_t x_stride = 0;
  std::uint16_t* out = nullptr;
  std::int64_t out_stride = 0;
};

struct GemmBF16Kernels {
  Isa isa = Isa::kScalar;                                            // the level of the functions below
  std::int64_t (*panel_columns)(std::int64_t n) noexcept = nullptr;  // columns of a packed panel, an even number
  std::int64_t (*packed_bytes)(std::int64_t k, std::int64_t n) noexcept = nullptr;
  // `packed`: packed_bytes(k, n) bytes (a multiple of 64), 64-byte aligned: for each panel of P columns bfloat16
  // [depth / 2][P][2], depth being k rounded up to 2, at amx to 32; zeros past k and n. Weights of other types are
  // rounded.
  void (*pack)(std::int64_t k, std::int64_t n, const FloatWeights& weights, void* packed) noexcept = nullptr;
  void (*round_rows)(const RoundRowsArgs& args) noexcept = nullptr;
  void (*run)(const GemmBF16Args& args) noexcept = nullptr;
};

// Precondition: IsaSupported(isa).
const GemmBF16Kernels& GetGemmBF16(Isa isa) noexcept;

// Whether a linear layer runs faster in bfloat16 than in f32 at this level: some CPUs have vdpbf16ps at twice
// the rate of f32, some at half, and tdpbf16ps at 14 times. Measured on a small layer by the first call for a level, in
// about 0.2 ms; the process keeps to the answer. Precondition: IsaSupported(isa).
bool BFloat16IsFaster(Isa isa);

// Each lives in its own file, compiled with its own flags.
void GemmBF16Scalar(const GemmBF16Args& args) noexcept;
void RoundRowsScalar(const RoundRowsArgs& args) noexcept;
void GemmBF16Avx512BF16(const GemmBF16Args& args) noexcept;
void RoundRowsAvx512BF16(const RoundRowsArgs& args) noexcept;
void GemmBF16AmxBF16(const GemmBF16Args& args) noexcept;

}  // namespace laconic::kernels
