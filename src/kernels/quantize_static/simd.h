// quantize_static for every vector level.
#pragma once

#include "kernels/quantize_static/quantize_static.h"
#include "kernels/vec16.h"

namespace laconic::kernels {
namespace {

// What rounds x * factor / scale to the nearest integer, half to even, as if product and quotient had been rounded to
// f32 each.
//
// x * (factor * (1 / scale)) is that quotient but for five roundings: below 512, where codes are not yet cut, they move
// it by less than 512 * 5 * 2^-24 < 2^-12. If it lies no nearer to a tie than that, both round to the same integer;
// otherwise (one value in 2048, and NaN) the vector is divided after all, which takes some five times as long.
struct StaticQuantizer {
  Vec16 scale;
  Vec16 inv_scale;  // NaN if digits could be lost
  Vec16 offset;
};

// What belongs to the columns of a vector.
struct StaticFactor {
  Vec16 factor;
  Vec16 quotient;  // factor / scale
};

// `multiplier`: the factors of all columns that will be rounded, or null for 1.
inline StaticQuantizer MakeStaticQuantizer(float scale, std::int32_t zero_point, const float* multiplier,
                                           std::int64_t cols) {
  const auto is_normal = [](float x) { return __builtin_fabsf(x) > 0x1p-100F && __builtin_fabsf(x) < 0x1p100F; };
  const float inv_scale = 1.0F / scale;
  bool all_normal = is_normal(inv_scale);
  for (std::int64_t c = 0; multiplier != nullptr && c < cols; ++c) {
    all_normal &= is_normal(multiplier[c] * inv_scale);
  }
  return {Set1(scale), Set1(all_normal ? inv_scale : __builtin_nanf("")), Set1(static_cast<float>(zero_point))};
}

inline StaticFactor MakeStaticFactor(const StaticQuantizer& quantizer, Vec16 factor) {
  return {factor, Mul(factor, quantizer.inv_scale)};
}

inline Vec16 RoundedQuotient(const StaticQuantizer& quantizer, const StaticFactor& factor, Vec16 value) {
  const Vec16 quotient = Mul(value, factor.quotient);
  const Vec16 rounded = Round(quotient);
  return AllLess(Abs(Sub(quotient, rounded)), Set1(0.5F - 0x1p-12F))
             ? rounded
             : Round(Div(Mul(value, factor.factor), quantizer.scale));
}

// Integers 0..255; of NaN any.
inline Vec16 StaticCodes(const StaticQuantizer& quantizer, const StaticFactor& factor, Vec16 value) {
  return Min(Set1(255.0F), Max(Set1(0.0F), Add(RoundedQuotient(quantizer, factor, value), quantizer.offset)));
}

// One row, and what stands for its scale and zero point.
template <bool kScaled>
inline void QuantizeRowStatic(const QuantizeStaticArgs& args, const StaticQuantizer& quantizer, std::int64_t row) {
  constexpr float kLargest = 3.40282347e38F;
  const float* x = args.x + row * args.x_stride;
  std::uint8_t* q = args.q + row * args.q_stride;
  Vec16 bad = Set1(0.0F);  // NaN from the first NaN on: infinities are cut to finite numbers before they are added
  for (std::int64_t c = 0; c < args.cols; c += kLanes) {
    const std::int64_t left = args.cols - c;
    const Vec16 value = LoadPart(x + c, left);
    const Vec16 factor = kScaled ? LoadPart(args.multiplier + c, left) : Set1(1.0F);
    bad = Fma(Max(Set1(-kLargest), Min(Set1(kLargest), kScaled ? Mul(value, factor) : value)), Set1(0.0F), bad);
    StorePartU8(q + c, StaticCodes(quantizer, MakeStaticFactor(quantizer, factor), value), left);
  }
  const bool has_nan = ReduceAdd(bad) != 0;  // it is 0 or NaN
  for (std::int64_t i = 0; has_nan && i < args.cols; ++i) {
    q[i] = 0;
  }
  args.row_scale[row] = has_nan ? __builtin_nanf("") : args.scale;
  args.row_zero[row] = has_nan ? 0 : args.zero_point;
}

inline void QuantizeStatic(const QuantizeStaticArgs& args, const StaticQuantizer& quantizer) {
  for (std::int64_t row = 0; row < args.rows; ++row) {
    args.multiplier == nullptr ? QuantizeRowStatic<false>(args, quantizer, row)
                               : QuantizeRowStatic<true>(args, quantizer, row);
  }
}

}  // namespace
}  // namespace laconic::kernels
