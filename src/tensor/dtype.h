// Element types, with ONNX's meaning.
#pragma once

#include <cstdint>
#include <string_view>

namespace laconic {

enum class DType : std::uint8_t { kF64, kF32, kF16, kBF16, kS64, kS32, kS16, kS8, kU8, kBool };

std::int64_t SizeOf(DType dtype) noexcept;        // bytes an element
std::string_view ToString(DType dtype) noexcept;  // "f32", "s8", ...
constexpr bool IsHalf(DType dtype) noexcept { return dtype == DType::kF16 || dtype == DType::kBF16; }
// Errors: kInvalidArgument naming the text.
DType ParseDType(std::string_view name);

// The DType of a C++ element type; F16 and BF16 are stored as std::uint16_t and have none.
template <typename T>
inline constexpr DType kDTypeOf = [] {
  static_assert(sizeof(T) == 0, "no DType for this C++ type");
  return DType::kF32;
}();
template <>
inline constexpr DType kDTypeOf<double> = DType::kF64;
template <>
inline constexpr DType kDTypeOf<float> = DType::kF32;
template <>
inline constexpr DType kDTypeOf<std::int64_t> = DType::kS64;
template <>
inline constexpr DType kDTypeOf<std::int32_t> = DType::kS32;
template <>
inline constexpr DType kDTypeOf<std::int16_t> = DType::kS16;
template <>
inline constexpr DType kDTypeOf<std::int8_t> = DType::kS8;
template <>
inline constexpr DType kDTypeOf<std::uint8_t> = DType::kU8;
template <>
inline constexpr DType kDTypeOf<bool> = DType::kBool;

// IEEE 754 binary16 and bfloat16 <-> binary32; to 16 bits with round half to even, NaN stays NaN.
float HalfToFloat(std::uint16_t half) noexcept;
std::uint16_t FloatToHalf(float value) noexcept;
float BFloat16ToFloat(std::uint16_t value) noexcept;
std::uint16_t FloatToBFloat16(float value) noexcept;

}  // namespace laconic
