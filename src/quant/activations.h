// What a quantized linear layer sees of its input: smoothed, rounded to u8 codes, and back in f32.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "quant/dynamic.h"
#include "quant/matrix.h"

namespace laconic::quant {

// Affine u8 for all values between `lo` and `hi` (MinMax): the range is widened to hold 0, then as QuantizeRowU8.
// Errors: kInvalidArgument for a bound, or a width, that is not finite.
RowParams MinMaxParams(float lo, float hi);

struct ActivationQuantizer {
  std::vector<float> inv_smooth;   // a factor per column, applied first; empty: none
  std::optional<RowParams> fixed;  // static: one for all values; none: each row its own (QuantizeRowU8)
};

// out = scale * (q - zero_point) of the smoothed rows. Static codes are clamp(rne(x / scale) + zero_point, 0, 255), as
// ONNX's QuantizeLinear; dynamic ones are QuantizeRowU8's.
//
// Shapes:  x, out [rows, cols]; out may be x.
// Threads: safe on disjoint rows.
void FakeQuantizeRows(const MatrixView& x, const ActivationQuantizer& quantizer, float* out);

}  // namespace laconic::quant
