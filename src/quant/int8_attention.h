// Attention on INT8 codes, one head of one text: the definition that laconic.Int8Attention means. docs/numerics.md
// gives the reasons.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace laconic::quant {

// Symmetric s8, real = step * q, and returns the step. Each operation is one f32 operation, rounded to nearest even:
//   step = max(max|x| / 127, 1e-12), q = rne(x * (1 / step)), which is -127..127 by itself.
// With a NaN or an infinity there is no step: NaN, codes 0, so that what is computed of them is NaN too.
// Precondition: q.size() == x.size().
float QuantizeVectorS8(std::span<const float> x, std::span<std::int8_t> q);

// softmax(query key^T * scale) value with codes of each query, key, row of weights and column of values.
//
// Shapes:   query, out [queries, width], key, value [keys, width], all dense; keys that a mask hides are left out.
// Numerics: sums of codes are exact, the rest is f32:
//             score  = (sum q_code * k_code) * (q_step * scale) * k_step
//             weight = rne(255 * exp(score - max score)), 0..255
//             out    = (sum weight * v_code) * (1 / sum weight) * v_step
//           A query of whose scores one is NaN or infinity gets NaN. Without keys out is 0.
void Int8Attention(std::span<const float> query, std::span<const float> key, std::span<const float> value,
                   std::size_t width, float scale, std::span<float> out);

}  // namespace laconic::quant
