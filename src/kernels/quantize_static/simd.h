// quantize_static for every vector level.
#pragma once

#include "kernels/quantize_static/quantize_static.h"
#include "kernels/vec16.h"

namespace laconic::kernels {
namespace {

template <bool kScaled>
inline void QuantizeRow(const QuantizeStaticArgs& args, std::int64_t row) {
  constexpr float kLargest = 3.40282347e38F;
  const float* x = args.x + row * args.x_stride;
  std::uint8_t* q = args.q + row * args.q_stride;
  const Vec16 scale = Set1(args.scale);
  const Vec16 offset = Set1(static_cast<float>(args.zero_point));
  Vec16 bad = Set1(0.0F);  // NaN from the first NaN on: infinities are cut to finite numbers before they are added
  const auto codes = [&](Vec16 value, Vec16 multiplier) {
    value = kScaled ? Mul(value, multiplier) : value;
    bad = Fma(Max(Set1(-kLargest), Min(Set1(kLargest), value)), Set1(0.0F), bad);
    return Min(Set1(255.0F), Max(Set1(0.0F), Add(Round(Div(value, scale)), offset)));
  };
  std::int64_t c = 0;
  for (; c + kLanes <= args.cols; c += kLanes) {
    StoreU8(q + c, codes(Load(x + c), kScaled ? Load(args.multiplier + c) : scale));
  }
  if (c < args.cols) {
    const std::int64_t rest = args.cols - c;
    std::uint8_t tail[kLanes];
    StoreU8(tail, codes(LoadPart(x + c, rest), kScaled ? LoadPart(args.multiplier + c, rest) : scale));
    for (std::int64_t i = 0; i < rest; ++i) {
      q[c + i] = tail[i];
    }
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
    args.multiplier == nullptr ? QuantizeRow<false>(args, row) : QuantizeRow<true>(args, row);
  }
}

}  // namespace
}  // namespace laconic::kernels
