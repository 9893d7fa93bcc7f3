// The range of a row of weights: which scale its codes get, and the codes for a given scale.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "quant/matrix.h"
#include "quant/qparams.h"

namespace laconic::quant {

// Codes -127..127.
inline constexpr TensorQConfig kSymmetricS8 = {
    .dtype = CodeType::kS8, .scheme = Scheme::kSymmetric, .granularity = Granularity::kChannel};
// Codes -64..64: a u8 * s8 pair sum stays below 2^15, 2 * 255 * 64 = 32640, so that vpmaddubsw cannot saturate.
inline constexpr TensorQConfig kReducedS8 = {.dtype = CodeType::kS8,
                                             .range = CodeRange::kReduced,
                                             .scheme = Scheme::kSymmetric,
                                             .granularity = Granularity::kChannel};

// ParamsOf's scale for -max|w| to max|w|; `config` is symmetric.
// Errors: kInvalidArgument for a NaN or an infinity, naming its place.
float AbsMaxScale(std::span<const float> w, const TensorQConfig& config = kSymmetricS8);

// The scale c * widest, c in {1, 0.99, ..., 0.61}, with the least sum of squared errors of RoundRow; of equals the
// largest.
float MseScale(std::span<const float> w, float widest, Codes codes);

// The scale of each row (an output channel); all the same where `config` has one for all. By its observer, minmax
// (AbsMaxScale) or mse. Errors: as AbsMaxScale, naming the row.
std::vector<float> WeightScales(const MatrixView& weight, const TensorQConfig& config);

// q = clamp(rne(w / scale), codes), in f32. Precondition: q.size() == w.size(), codes within s8.
void RoundRow(std::span<const float> w, float scale, Codes codes, std::span<std::int8_t> q);

// Scales for blocks of `block` neighbours, the last block of a row may be shorter: AbsMaxScale and RoundRow of each.
// Shapes: w, q [width]; returns [ceil(width / block)]. Precondition: block > 0. Errors: as AbsMaxScale.
std::vector<float> QuantizeBlocksS8(std::span<const float> w, std::int64_t block, std::span<std::int8_t> q);

}  // namespace laconic::quant
