#include "kernels/weight_values.h"

#include <bit>

namespace laconic::kernels {

namespace {

float FromHalf(std::uint32_t half) noexcept {
  const std::uint32_t sign = (half & 0x8000U) << 16;
  const std::uint32_t magnitude = half & 0x7FFFU;
  if (magnitude >= 0x7C00U) {  // infinity, NaN
    return std::bit_cast<float>(sign | 0x7F800000U | (magnitude << 13));
  }
  // Read the exponent with f32's bias, then multiply by 2^(127-15): right for subnormals too.
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112F;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(scaled) | sign);
}

}  // namespace

float WeightValue(const void* data, WeightType type, std::int64_t index) noexcept {
  switch (type) {
    case WeightType::kF32:
      return static_cast<const float*>(data)[index];
    case WeightType::kF16:
      return FromHalf(static_cast<const std::uint16_t*>(data)[index]);
    case WeightType::kBF16:
      return std::bit_cast<float>(std::uint32_t{static_cast<const std::uint16_t*>(data)[index]} << 16);
    case WeightType::kS8:
      return static_cast<const std::int8_t*>(data)[index];
  }
  return 0;
}

std::uint16_t RoundToBFloat16(float x) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (x != x) {
    return static_cast<std::uint16_t>(bits >> 16 | 0x40U);
  }
  if ((bits & 0x7F800000U) == 0) {
    return static_cast<std::uint16_t>(bits >> 16 & 0x8000U);
  }
  return static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}

}  // namespace laconic::kernels
