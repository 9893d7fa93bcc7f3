// Dynamic quantization of activations, one row (token) at a time: the definition that every kernel must equal bit for
// bit. docs/numerics.md gives the reasons.
#pragma once

#include <cstdint>
#include <span>

namespace laconic::quant {

struct RowParams {
  float scale = 0;
  std::int32_t zero_point = 0;  // 0..255
  bool operator==(const RowParams&) const = default;
};

// The least scale: what a row of zeros gets.
inline constexpr float kMinDynamicScale = 1e-12F;

// Affine u8, real = scale * (q - zero_point). Each operation is one f32 operation, rounded to nearest even:
//   lo = min(0, min x), hi = max(0, max x), scale = max((hi - lo) / 255, 1e-12), zero_point = rne((0 - lo) / scale),
//   q = clamp(rne(x * (1 / scale)) + zero_point, 0, 255).
// A row with a NaN or an infinity, or whose hi - lo is over the largest f32, has no scale: scale NaN, zero_point 0,
// codes 0, so that what is computed from it is NaN too.
// Where a `multiplier` is given, x is x[i] * multiplier[i], rounded to f32, throughout.
// Precondition: q.size() == x.size(); multiplier is empty or as long.
RowParams QuantizeRowU8(std::span<const float> x, std::span<std::uint8_t> q, std::span<const float> multiplier = {});

void DequantizeRowU8(std::span<const std::uint8_t> q, RowParams params, std::span<float> x);

}  // namespace laconic::quant
