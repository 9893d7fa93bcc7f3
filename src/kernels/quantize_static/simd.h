// quantize_static for every vector level.
#pragma once

#include "kernels/quantize_static/quantize_static.h"
#include "kernels/vec16.h"

namespace laconic::kernels {
namespace {

struct StaticQuantizer {
  Vec16 scale;
  Vec16 offset;
};

inline StaticQuantizer MakeStaticQuantizer(float scale, std::int32_t zero_point) {
  return {Set1(scale), Set1(static_cast<float>(zero_point))};
}

// Integers 0..255; of NaN any.
inline Vec16 StaticCodes(const StaticQuantizer& quantizer, Vec16 value) {
  return Min(Set1(255.0F), Max(Set1(0.0F), Add(Round(Div(value, quantizer.scale)), quantizer.offset)));
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
