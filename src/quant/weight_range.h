// The range of a row of weights: which scale its codes get, and the codes for a given scale.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace laconic::quant {

// Codes lie in [-max_code, max_code]. With 64 a u8 * s8 pair sum stays below 2^15: 2 * 255 * 64 = 32640, so that
// vpmaddubsw cannot saturate.
inline constexpr int kFullRange = 127;
inline constexpr int kReducedRange = 64;

// max|w| / max_code; 1 where that would be below the smallest normal f32 (a row of zeros).
// Errors: kInvalidArgument for a NaN or an infinity, naming its place.
float AbsMaxScale(std::span<const float> w, int max_code = kFullRange);

// The scale c * AbsMaxScale, c in {1, 0.99, ..., 0.61}, with the least sum of squared rounding errors; of equals the
// largest. Errors: as AbsMaxScale.
float MseScale(std::span<const float> w, int max_code = kFullRange);

// q = clamp(rne(w / scale), -max_code, max_code), in f32. Precondition: q.size() == w.size().
void RoundRow(std::span<const float> w, float scale, int max_code, std::span<std::int8_t> q);

// Scales for blocks of `block` neighbours, the last block of a row may be shorter: AbsMaxScale and RoundRow of each.
// Shapes: w, q [width]; returns [ceil(width / block)]. Precondition: block > 0. Errors: as AbsMaxScale.
std::vector<float> QuantizeBlocksS8(std::span<const float> w, std::int64_t block, std::span<std::int8_t> q);

}  // namespace laconic::quant
