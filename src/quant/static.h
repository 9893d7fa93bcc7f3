// Static quantization of activations: one scale and zero point, known before the model runs; and the tensor-wise kind
// of dynamic quantization, which finds them first. The definition that every kernel must equal bit for bit: ONNX's
// QuantizeLinear and DynamicQuantizeLinear. docs/numerics.md gives the reasons.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "quant/dynamic.h"
#include "quant/qparams.h"
#include "tensor/dtype.h"

namespace laconic::quant {

// real = scale * (q - zero_point), q of `dtype`: kU8 or kS8.
struct QuantParams {
  float scale = 1;  // > 0, finite
  std::int32_t zero_point = 0;
  DType dtype = DType::kU8;
  std::optional<Codes> limits;  // where not all codes of `dtype` are used
  bool operator==(const QuantParams&) const = default;
};

std::int32_t LeastCode(DType dtype) noexcept;    // 0 or -128
std::int32_t LargestCode(DType dtype) noexcept;  // 255 or 127

// ParamsOf with what goes with it. Errors: as ParamsOf.
QuantParams StaticParams(Range range, const TensorQConfig& config);

// What ONNX's DynamicQuantizeLinear gives u8 codes for lo … hi, which are first widened to hold 0, so that 0 is exact.
// Unlike ParamsOf each operation is one f32 operation:
//   scale = (hi - lo) / 255, but 1 where that is below the smallest normal f32
//   zero_point = clamp(rne(0 - lo / scale), 0, 255)
// Precondition: lo <= hi, hi - lo finite.
QuantParams DynamicParams(float lo, float hi) noexcept;

// q = clamp(rne((x * multiplier) / scale) + zero_point), each operation one f32 operation, clamped to u8
// or to the limits of `params`. Codes of s8 are the same ones plus 128: kernels run them as u8, whose zero point is
// ZeroPointAsU8. `multiplier`: [x.size()], or
// empty for none. Infinities saturate. A row with a NaN has no scale, so that what is computed from it is NaN too:
// scale NaN, zero_point 0, codes 0; other rows get `params` as u8. Precondition: q.size() == x.size().
RowParams QuantizeRowStatic(std::span<const float> x, std::span<const float> multiplier, const QuantParams& params,
                            std::span<std::uint8_t> q);

// The codes that values of lo … hi get. Precondition: lo <= hi, neither a NaN.
Codes CodesWithin(float lo, float hi, const QuantParams& params) noexcept;

inline std::int32_t ZeroPointAsU8(const QuantParams& params) noexcept {
  return params.zero_point - LeastCode(params.dtype);
}

}  // namespace laconic::quant
