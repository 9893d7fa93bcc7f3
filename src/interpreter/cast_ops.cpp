// Cast: any element type to any other.
#include <cmath>
#include <limits>

#include "interpreter/op.h"

namespace laconic::interpreter {
namespace {

// f64 to f32 so that a second rounding to fewer bits gives what one rounding would: an inexact result is made odd.
float ToFloatOdd(double value) {
  const auto nearest = static_cast<float>(value);
  if (static_cast<double>(nearest) == value || !std::isfinite(nearest) || std::isnan(value)) {
    return nearest;
  }
  const bool is_even = (std::bit_cast<std::uint32_t>(nearest) & 1U) == 0;
  const float towards = static_cast<double>(nearest) < value ? std::numeric_limits<float>::infinity()
                                                             : -std::numeric_limits<float>::infinity();
  return is_even ? std::nextafter(nearest, towards) : nearest;
}

// Floats towards zero. What no s64 holds: the nearest s64, NaN 0. Narrower integers keep the low bits.
template <typename To, typename From>
To ConvertOne(From value) {
  if constexpr (std::is_same_v<To, bool>) {
    return value != 0;
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    constexpr double kLimit = 9223372036854775808.0;
    const auto wide = static_cast<double>(value);
    const std::int64_t whole = std::isnan(wide)  ? 0
                               : wide >= kLimit  ? std::numeric_limits<std::int64_t>::max()
                               : wide <= -kLimit ? std::numeric_limits<std::int64_t>::min()
                                                 : static_cast<std::int64_t>(wide);
    return static_cast<To>(whole);
  } else {
    return static_cast<To>(value);
  }
}

Tensor ToHalf(const OpCall& call, const Tensor& x, DType to) {
  const auto round = to == DType::kF16 ? FloatToHalf : FloatToBFloat16;
  return call.MakeBytes(to, x.shape(), [&](std::byte* bytes) {
    auto* out = reinterpret_cast<std::uint16_t*>(bytes);
    if (x.dtype() == DType::kF32) {
      for (const float value : x.values<float>()) {
        *out++ = round(value);
      }
    } else {
      for (const double value : x.values<double>()) {
        *out++ = round(ToFloatOdd(value));
      }
    }
  });
}

Tensors RunCast(const OpCall& call) { return {Convert(call, call[0], ParseDType(call.String("to")))}; }

}  // namespace

Tensor Convert(const OpCall& call, const Tensor& x, DType to) {
  if (x.dtype() == to) {
    return x;
  }
  if (IsHalf(x.dtype())) {
    call.CheckSize(DType::kF32, x.shape());
    return Convert(call, x.ToF32(), to);
  }
  if (IsHalf(to)) {
    const bool is_float = x.dtype() == DType::kF32 || x.dtype() == DType::kF64;
    return ToHalf(call, is_float ? x : Convert(call, x, DType::kF64), to);
  }
  return Dispatch(Everything(), x.dtype(), [&]<typename From>(From) {
    return Dispatch(Everything(), to, [&]<typename To>(To) { return Map<To, From>(call, x, ConvertOne<To, From>); });
  });
}

std::span<const OpEntry> CastOps() {
  static const OpEntry ops[] = {{"Cast", RunCast, false}};
  return ops;
}

}  // namespace laconic::interpreter
