// What a quantized linear layer sees of its input: smoothed, rounded to u8 codes, and back in f32.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "quant/matrix.h"
#include "quant/static.h"

namespace laconic::quant {

struct ActivationQuantizer {
  std::vector<float> inv_smooth;     // a factor per column, applied first; empty: none
  std::optional<QuantParams> fixed;  // static: for all rows (QuantizeRowStatic); none: each row its own (QuantizeRowU8)
  bool operator==(const ActivationQuantizer&) const = default;
};

// The codes of one row, as u8. Precondition: q.size() == x.size().
RowParams QuantizeRow(const ActivationQuantizer& quantizer, std::span<const float> x, std::span<std::uint8_t> q);

// How many values of a row, smoothed, lie so close to the middle between two codes (within 2^-14 of a code's width)
// that two programs whose x differ in the last bits may round them apart. `params` is QuantizeRow's; a row without a
// scale has none.
std::int64_t CountTies(const ActivationQuantizer& quantizer, RowParams params, std::span<const float> x);

// out = scale * (q - zero_point) of the codes of QuantizeRow.
//
// Shapes:  x, out [rows, cols]; out may be x.
// Threads: safe on disjoint rows.
void FakeQuantizeRows(const MatrixView& x, const ActivationQuantizer& quantizer, float* out);

}  // namespace laconic::quant
