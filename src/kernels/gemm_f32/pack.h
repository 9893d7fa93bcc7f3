// The packed weights of gemm_f32: for each panel of P columns, [k][P] elements of the weights' own type; the columns
// past n are zero.
#pragma once

#include <cstdint>

#include "kernels/gemm_f32/gemm_f32.h"

namespace laconic::kernels {

std::int64_t PackedBytes(std::int64_t panel, std::int64_t k, std::int64_t n, WeightType type) noexcept;
void Pack(std::int64_t panel, std::int64_t k, std::int64_t n, const FloatWeights& weights, void* packed) noexcept;

}  // namespace laconic::kernels
