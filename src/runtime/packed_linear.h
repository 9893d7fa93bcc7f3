// A linear layer's weights, laid out for the kernels of one level.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/gemm_bf16/gemm_bf16.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_u8s8/gemm_u8s8.h"
#include "runtime/pack_store.h"
#include "tensor/tensor.h"

namespace laconic::runtime {

// The kernels' name for how weights are stored. Errors: kUnsupported for a dtype that no kernel reads.
kernels::WeightType WeightTypeOf(DType dtype);

// A layer's weights [k, n] and bias, for the kernels of one family.
template <typename Kernels>
struct PackedWeights {
  const Kernels* kernels = nullptr;
  std::int64_t k = 0;
  std::int64_t n = 0;
  PackedBytes weights;
  std::vector<float> bias;     // [n], zeros where there is none
  std::int64_t own_bytes = 0;  // what this layer takes; weights that an earlier one has packed are not counted
};

// In s8 with a scale per column, for quantized rows.
struct PackedS8 : PackedWeights<kernels::GemmU8S8Kernels> {
  std::vector<float> scale;  // [n]
};

// In f32, f16 or bf16, for f32 rows.
struct PackedF32 : PackedWeights<kernels::GemmF32Kernels> {
  kernels::WeightType type = kernels::WeightType::kF32;
};

// In bfloat16, for bfloat16 rows.
using PackedBF16 = PackedWeights<kernels::GemmBF16Kernels>;

// One layer, or several that read the same rows, side by side. All tensors live until packing is done, then their
// mapped pages are released.
struct LinearPart {
  Tensor weight;                 // [k, n]: s8, u8, f32, f16 or bf16
  Tensor scale;                  // f32 [n] or [] where weight is s8 or u8
  Tensor zero_point;             // as weight and scale; no data: 0
  const Tensor* bias = nullptr;  // f32 [n], or null

  bool has_codes() const noexcept { return weight.dtype() == DType::kS8 || weight.dtype() == DType::kU8; }
};

// Whether a part has codes that fit s8 once their zero points are subtracted, so that integer kernels can run them.
bool FitsS8(const LinearPart& part);

// A part with codes as f32 weights.
LinearPart Dequantized(const LinearPart& part);

// Weights that `store` has, from this model or a file, are not packed again; those that are views of a mapped file go
// into it by what they were made of: the file's size and time, their place there, samples of their bytes, all scales
// and zero points, and how the kernels lay out a small matrix.
// Preconditions: parts of one k; PackS8: FitsS8 of each; PackF32, PackBF16: of one dtype, without codes.
PackedS8 PackS8(std::span<const LinearPart> parts, const kernels::GemmU8S8Kernels& kernels, PackStore* store);
PackedF32 PackF32(std::span<const LinearPart> parts, kernels::Isa isa, PackStore* store);
PackedBF16 PackBF16(std::span<const LinearPart> parts, kernels::Isa isa, PackStore* store);

}  // namespace laconic::runtime
