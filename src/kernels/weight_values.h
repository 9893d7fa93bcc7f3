// Stored weights as f32, one at a time: for the scalar level.
#pragma once

#include <cstdint>

#include "kernels/types.h"

namespace laconic::kernels {

// Element `index` of `data`, converted exactly; an s8 code as its integer.
float WeightValue(const void* data, WeightType type, std::int64_t index) noexcept;

// x rounded to bfloat16, half to even, as vcvtneps2bf16 does: subnormals become 0, a NaN a quiet one.
std::uint16_t RoundToBFloat16(float x) noexcept;

constexpr std::int64_t WeightBytes(WeightType type) noexcept {
  return type == WeightType::kF32 ? 4 : (type == WeightType::kS8 ? 1 : 2);
}

}  // namespace laconic::kernels
