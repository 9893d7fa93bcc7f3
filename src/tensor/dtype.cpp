#include "tensor/dtype.h"

#include <array>
#include <bit>
#include <cmath>

#include "laconic/error.h"

namespace laconic {
namespace {

struct DTypeRow {
  DType dtype;
  std::string_view name;
  std::int64_t size_bytes;
};
constexpr std::array kDTypes = {DTypeRow{DType::kF64, "f64", 8}, DTypeRow{DType::kF32, "f32", 4},
                                DTypeRow{DType::kF16, "f16", 2}, DTypeRow{DType::kBF16, "bf16", 2},
                                DTypeRow{DType::kS64, "s64", 8}, DTypeRow{DType::kS32, "s32", 4},
                                DTypeRow{DType::kS16, "s16", 2}, DTypeRow{DType::kS8, "s8", 1},
                                DTypeRow{DType::kU8, "u8", 1},   DTypeRow{DType::kBool, "bool", 1}};

const DTypeRow& RowOf(DType dtype) noexcept { return kDTypes[static_cast<std::size_t>(dtype)]; }

}  // namespace

std::int64_t SizeOf(DType dtype) noexcept { return RowOf(dtype).size_bytes; }

std::string_view ToString(DType dtype) noexcept { return RowOf(dtype).name; }

DType ParseDType(std::string_view name) {
  for (const DTypeRow& row : kDTypes) {
    if (row.name == name) {
      return row.dtype;
    }
  }
  Fail(ErrorCode::kInvalidArgument, "unknown dtype '", name, "'");
}

float HalfToFloat(std::uint16_t half) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000U) << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1FU;
  const std::uint32_t mantissa = half & 0x3FFU;
  if (exponent == 0) {  // zero and subnormals: mantissa * 2^-24, exact in binary32
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
    return sign != 0 ? -magnitude : magnitude;
  }
  const std::uint32_t wide_exponent = exponent == 0x1F ? 0xFFU : exponent + 112;
  return std::bit_cast<float>(sign | (wide_exponent << 23) | (mantissa << 13));
}

std::uint16_t FloatToHalf(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000U);
  const float magnitude = std::fabs(value);
  if (std::isnan(value)) {
    return static_cast<std::uint16_t>(sign | 0x7E00U);
  }
  if (magnitude >= 65520.0F) {  // halfway between the largest finite value and 2^16, which rounds to infinity
    return static_cast<std::uint16_t>(sign | 0x7C00U);
  }
  if (magnitude < 0x1p-14F) {  // subnormal: multiples of 2^-24, rounded by the current mode (to nearest even)
    return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(std::nearbyint(magnitude * 0x1p24F)));
  }
  const std::uint32_t rounded = (bits & 0x7FFFFFFFU) + 0xFFFU + ((bits >> 13) & 1U);
  return static_cast<std::uint16_t>(sign | ((rounded >> 13) - (112U << 10)));
}

float BFloat16ToFloat(std::uint16_t value) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16);
}

std::uint16_t FloatToBFloat16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) {
    return static_cast<std::uint16_t>((bits >> 16) | 0x40U);
  }
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

}  // namespace laconic
