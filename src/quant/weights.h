// Symmetric s8 quantization of weights, one row at a time (an output channel of a linear layer, a row of an embedding),
// and the integer linear layer. docs/numerics.md gives the reasons.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "quant/dynamic.h"

namespace laconic::quant {

// 65793 * 255 * 128 < 2^31 <= 65794 * 255 * 128: up to here no s32 sum of u8 * s8 can overflow, whatever the codes.
inline constexpr std::size_t kMaxLinearTerms = 65793;

// q = clamp(rne(w / scale), -127, 127) with scale = max|w| / 127, in f32. A row whose scale would be below the smallest
// normal f32 is a row of zeros: scale 1, codes 0. Returns the scale.
// Precondition: q.size() == w.size(). Errors: kInvalidArgument for a NaN or an infinity, naming its place.
float QuantizeRowS8(std::span<const float> w, std::span<std::int8_t> q);

// x = f32(q) * scale
void DequantizeRowS8(std::span<const std::int8_t> q, float scale, std::span<float> x);

// One output of a linear layer before its activation:
//   f32(sum_k a[k] w[k] - zero_point * sum_k w[k]) * a_params.scale * w_scale + bias, multiplied and added in this
//   order,
// each step rounded to f32; the bracket is exact.
// Precondition: a.size() == w.size(). Errors: kInvalidArgument for more than kMaxLinearTerms terms.
float LinearU8S8(std::span<const std::uint8_t> a, RowParams a_params, std::span<const std::int8_t> w, float w_scale,
                 float bias);
// The same where all rows have one scale: times (a_params.scale * w_scale), which is one constant.
float StaticLinearU8S8(std::span<const std::uint8_t> a, RowParams a_params, std::span<const std::int8_t> w,
                       float w_scale, float bias);

}  // namespace laconic::quant
