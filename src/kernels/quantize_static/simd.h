// quantize_static for every vector level.
#pragma once

#include "kernels/quantize_static/quantize_static.h"
#include "kernels/vec16.h"

namespace laconic::kernels {
namespace {

// What rounds x / scale to the nearest integer, half to even, as if the quotient had been rounded to f32 first.
//
// x * (1 / scale) is that quotient but for three roundings: below 512, where codes are not yet cut, they move it by
// less than 512 * 3 * 2^-24 < 2^-13. If it lies no nearer to a tie than that, both round to the same integer; otherwise
// (one value in 4096) the vector is divided after all, which takes some five times as long.
struct StaticQuantizer {
  Vec16 scale;
  Vec16 inv_scale;
  Vec16 least_tie;  // from here on, the distance to an integer may be that of a tie
  Vec16 offset;
};

inline StaticQuantizer MakeStaticQuantizer(float scale, std::int32_t zero_point) {
  const bool is_normal = scale > 0x1p-100F && scale < 0x1p100F;  // so is the reciprocal, and no digits are lost
  return {Set1(scale), Set1(1.0F / scale), Set1(is_normal ? 0.5F - 0x1p-13F : -1.0F),
          Set1(static_cast<float>(zero_point))};
}

inline Vec16 RoundedQuotient(const StaticQuantizer& quantizer, Vec16 value) {
  const Vec16 quotient = Mul(value, quantizer.inv_scale);
  const Vec16 rounded = Round(quotient);
  return AnyGreater(Abs(Sub(quotient, rounded)), quantizer.least_tie) ? Round(Div(value, quantizer.scale)) : rounded;
}

// Integers 0..255; of NaN any.
inline Vec16 StaticCodes(const StaticQuantizer& quantizer, Vec16 value) {
  return Min(Set1(255.0F), Max(Set1(0.0F), Add(RoundedQuotient(quantizer, value), quantizer.offset)));
}

// Writes the first n codes (16 if n is more).
inline void StorePartU8(std::uint8_t* q, Vec16 codes, std::int64_t n) {
  if (n >= kLanes) {
    StoreU8(q, codes);
    return;
  }
  std::uint8_t lanes[kLanes];
  StoreU8(lanes, codes);
  for (std::int64_t i = 0; i < n; ++i) {
    q[i] = lanes[i];
  }
}

// One row, and what stands for its scale and zero point.
template <bool kScaled>
inline void QuantizeRowStatic(const QuantizeStaticArgs& args, std::int64_t row) {
  constexpr float kLargest = 3.40282347e38F;
  const float* x = args.x + row * args.x_stride;
  std::uint8_t* q = args.q + row * args.q_stride;
  const StaticQuantizer quantizer = MakeStaticQuantizer(args.scale, args.zero_point);
  Vec16 bad = Set1(0.0F);  // NaN from the first NaN on: infinities are cut to finite numbers before they are added
  for (std::int64_t c = 0; c < args.cols; c += kLanes) {
    const std::int64_t left = args.cols - c;
    const Vec16 value =
        kScaled ? Mul(LoadPart(x + c, left), LoadPart(args.multiplier + c, left)) : LoadPart(x + c, left);
    bad = Fma(Max(Set1(-kLargest), Min(Set1(kLargest), value)), Set1(0.0F), bad);
    StorePartU8(q + c, StaticCodes(quantizer, value), left);
  }
  const bool has_nan = ReduceAdd(bad) != 0;  // it is 0 or NaN
  for (std::int64_t i = 0; has_nan && i < args.cols; ++i) {
    q[i] = 0;
  }
  args.row_scale[row] = has_nan ? __builtin_nanf("") : args.scale;
  args.row_zero[row] = has_nan ? 0 : args.zero_point;
}

inline void QuantizeStatic(const QuantizeStaticArgs& args) {
  for (std::int64_t row = 0; row < args.rows; ++row) {
    args.multiplier == nullptr ? QuantizeRowStatic<false>(args, row) : QuantizeRowStatic<true>(args, row);
  }
}

}  // namespace
}  // namespace laconic::kernels
