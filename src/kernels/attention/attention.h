// Softmax attention of one sequence and one head.
#pragma once

#include <cstdint>

#include "kernels/types.h"

namespace laconic::kernels {

inline constexpr std::int64_t kMaxHeadDim = 256;
inline constexpr std::int64_t kMaxQueryRows = 8;  // that a kernel handles at a time

// out = softmax(scale * q k^T) v, the softmax over the keys of each query row. No mask: pass only the tokens that
// count.
//
// Shapes:   q [queries, head_dim], k and v [keys, head_dim], out [queries, head_dim], f32; row strides in elements, so
//           that the four may lie inside [tokens, heads * head_dim] matrices. head_dim <= kMaxHeadDim.
//           keys == 0 gives rows of zeros. out may not overlap k or v; it may be q.
// Numerics: scores of q * scale * log2(e) by one chain over head_dim; weights 2^(score - max) to 2 ulp, but none less
//           than 2^-126; the weighted sum by one chain over the keys, then times 1/sum. avx2 and avx512_vnni agree bit
//           for bit.
//           Precision::kBF16, at avx512_bf16 and amx: q * scale * log2(e), k, v and the weights 2^(score - max) (to
//           1e-4, unnormalised) are rounded to bfloat16, 2^-9 each, and their products summed in f32, in the order of
//           vdpbf16ps or tdpbf16ps (docs/numerics.md); 1/sum is that of the rounded weights.
//           A row's result does not depend on the other rows.
// Scratch:  scratch_bytes(keys, head_dim), linear in keys, 64-byte aligned, one for each thread of use.
struct AttentionArgs {
  std::int64_t queries = 0;
  std::int64_t keys = 0;
  std::int64_t head_dim = 0;
  const float* q = nullptr;
  std::int64_t q_stride = 0;
  const float* k = nullptr;
  std::int64_t k_stride = 0;
  const float* v = nullptr;
  std::int64_t v_stride = 0;
  float scale = 1;
  float* out = nullptr;
  std::int64_t out_stride = 0;
  void* scratch = nullptr;
};

struct AttentionKernels {
  Isa isa = Isa::kScalar;  // the level of the functions below
  std::int64_t (*scratch_bytes)(std::int64_t keys, std::int64_t head_dim) noexcept = nullptr;
  void (*run)(const AttentionArgs& args) noexcept = nullptr;
};

// Precision::kBF16 below avx512_bf16 is kF32. Precondition: IsaSupported(isa).
const AttentionKernels& GetAttention(Isa isa, Precision precision) noexcept;

// Each lives in its own file, compiled with its own flags.
void AttentionScalar(const AttentionArgs& args) noexcept;
void AttentionAvx2(const AttentionArgs& args) noexcept;
void AttentionAvx512Vnni(const AttentionArgs& args) noexcept;
void AttentionAvx512BF16(const AttentionArgs& args) noexcept;
void AttentionAmxBF16(const AttentionArgs& args) noexcept;

}  // namespace laconic::kernels
