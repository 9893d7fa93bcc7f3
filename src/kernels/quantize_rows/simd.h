// quantize_rows for every vector level.
#pragma once

#include "kernels/quantize_rows/quantize_rows.h"
#include "kernels/vec16.h"

namespace laconic::kernels {
namespace {

// Elements c … c + n - 1 of the row, times the multipliers if there are any; zeros from n on.
template <bool kScaled>
inline Vec16 LoadRow(const float* x, const float* multiplier, std::int64_t c, std::int64_t n) {
  const Vec16 value = LoadPart(x + c, n);
  return kScaled ? Mul(value, LoadPart(multiplier + c, n)) : value;
}

template <bool kScaled>
inline RowRange FindRange(const float* x, const float* multiplier, std::int64_t cols) {
  constexpr int kChains = 4;  // enough to hide the latency of min and max
  const Vec16 zero = Set1(0.0F);
  Vec16 lo[kChains] = {zero, zero, zero, zero};
  Vec16 hi[kChains] = {zero, zero, zero, zero};
  Vec16 bad = zero;  // x * 0 is NaN where x is not finite, and so is every later sum
  std::int64_t c = 0;
  for (; c + kChains * kLanes <= cols; c += kChains * kLanes) {
    Vec16 sum = zero;
    for (int i = 0; i < kChains; ++i) {
      const Vec16 value = LoadRow<kScaled>(x, multiplier, c + i * kLanes, kLanes);
      lo[i] = Min(lo[i], value);
      hi[i] = Max(hi[i], value);
      sum = Fma(value, zero, sum);
    }
    bad = Add(bad, sum);
  }
  for (; c < cols; c += kLanes) {
    const Vec16 value = LoadRow<kScaled>(x, multiplier, c, cols - c);
    lo[0] = Min(lo[0], value);
    hi[0] = Max(hi[0], value);
    bad = Fma(value, zero, bad);
  }
  const Vec16 least = Min(Min(lo[0], lo[1]), Min(lo[2], lo[3]));
  const Vec16 largest = Max(Max(hi[0], hi[1]), Max(hi[2], hi[3]));
  return {-ReduceMax(Sub(zero, least)), ReduceMax(largest), ReduceAdd(bad) == 0};
}

// `multiplier`: [cols], or null for none.
inline RowRange FindRange(const float* x, const float* multiplier, std::int64_t cols) {
  return multiplier == nullptr ? FindRange<false>(x, multiplier, cols) : FindRange<true>(x, multiplier, cols);
}

template <bool kScaled>
inline void QuantizeRow(const float* x, const float* multiplier, std::int64_t cols, std::uint8_t* q, float* scale,
                        std::int32_t* zero_point) {
  constexpr float kLargest = 3.40282347e38F;
  const RowRange row = FindRange<kScaled>(x, multiplier, cols);
  const float range = row.hi - row.lo;
  if (!row.finite || range > kLargest) {
    *scale = __builtin_nanf("");
    *zero_point = 0;
    for (std::int64_t c = 0; c < cols; ++c) {
      q[c] = 0;
    }
    return;
  }
  const float step = range / 255.0F;
  *scale = step > kMinRowScale ? step : kMinRowScale;
  const Vec16 offset = Round(Set1((0.0F - row.lo) / *scale));
  const Vec16 inv_scale = Set1(1.0F / *scale);
  const auto codes = [&](Vec16 value) {
    return Min(Set1(255.0F), Max(Set1(0.0F), Add(Round(Mul(value, inv_scale)), offset)));
  };
  for (std::int64_t c = 0; c < cols; c += kLanes) {
    StorePartU8(q + c, codes(LoadRow<kScaled>(x, multiplier, c, cols - c)), cols - c);
  }
  *zero_point = static_cast<std::int32_t>(ReduceMax(offset));
}

// `multiplier`: [cols], or null for none.
inline void QuantizeRow(const float* x, const float* multiplier, std::int64_t cols, std::uint8_t* q, float* scale,
                        std::int32_t* zero_point) {
  if (multiplier == nullptr) {
    QuantizeRow<false>(x, multiplier, cols, q, scale, zero_point);
  } else {
    QuantizeRow<true>(x, multiplier, cols, q, scale, zero_point);
  }
}

inline void QuantizeRows(const QuantizeRowsArgs& args) {
  for (std::int64_t row = 0; row < args.rows; ++row) {
    QuantizeRow(args.x + row * args.x_stride, args.multiplier, args.cols, args.q + row * args.q_stride,
                args.scale + row, args.zero_point + row);
  }
}

}  // namespace
}  // namespace laconic::kernels
