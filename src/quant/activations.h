// What a quantized linear layer sees of its input: smoothed, rounded to u8 codes, and back in f32.
#pragma once

#include <optional>
#include <vector>

#include "quant/matrix.h"
#include "quant/static.h"

namespace laconic::quant {

struct ActivationQuantizer {
  std::vector<float> inv_smooth;     // a factor per column, applied first; empty: none
  std::optional<QuantParams> fixed;  // static: for all rows (QuantizeRowStatic); none: each row its own (QuantizeRowU8)
};

// out = scale * (q - zero_point) of the smoothed rows.
//
// Shapes:  x, out [rows, cols]; out may be x.
// Threads: safe on disjoint rows.
void FakeQuantizeRows(const MatrixView& x, const ActivationQuantizer& quantizer, float* out);

}  // namespace laconic::quant
