// layer_norm for every vector level.
#pragma once

#include "kernels/layer_norm/layer_norm.h"
#include "kernels/quantize_rows/simd.h"
#include "kernels/quantize_static/simd.h"
#include "kernels/vec16.h"

namespace laconic::kernels {
namespace {

// The sum of value(c, n) over the row's vectors, c the first of n columns; value gives 0 in the lanes from n on.
template <typename Value>
inline float SumOfVectors(std::int64_t cols, const Value& value) {
  constexpr int kChains = 4;  // enough to hide the latency of an addition
  Vec16 sums[kChains] = {Set1(0.0F), Set1(0.0F), Set1(0.0F), Set1(0.0F)};
  std::int64_t c = 0;
  for (; c + kChains * kLanes <= cols; c += kChains * kLanes) {
    for (int i = 0; i < kChains; ++i) {
      sums[i] = Add(sums[i], value(c + i * kLanes, kLanes));
    }
  }
  for (; c < cols; c += kLanes) {
    sums[0] = Add(sums[0], value(c, cols - c));
  }
  return ReduceAdd(Add(Add(sums[0], sums[1]), Add(sums[2], sums[3])));
}

// also(c, n, values) for each vector of the result.
template <typename Also>
inline void LayerNormRow(const LayerNormArgs& args, const float* x, const float* residual, float* out,
                         const Also& also) {
  const std::int64_t cols = args.cols;
  const auto count = static_cast<float>(cols);
  const float sum = SumOfVectors(cols, [&](std::int64_t c, std::int64_t n) {
    Vec16 t = LoadPart(x + c, n);
    if (residual != nullptr) {
      t = Add(t, LoadPart(residual + c, n));
    }
    StorePart(out + c, t, n);
    return t;
  });
  const Vec16 mean = Set1(sum / count);
  const float squares = SumOfVectors(cols, [&](std::int64_t c, std::int64_t n) {
    const Vec16 centred = Sub(LoadPart(out + c, n), mean);
    const Vec16 square = Mul(centred, centred);
    return n >= kLanes ? square : KeepFirst(square, n);
  });
  const float variance = squares / count + args.epsilon;
  const Vec16 inv_std = Set1(1.0F / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(variance))));
  for (std::int64_t c = 0; c < cols; c += kLanes) {
    const std::int64_t n = cols - c;
    const Vec16 normal = Mul(Sub(LoadPart(out + c, n), mean), inv_std);
    const Vec16 result = Fma(normal, LoadPart(args.gamma + c, n), LoadPart(args.beta + c, n));
    StorePart(out + c, result, n);
    also(c, n, result);
  }
}

inline void LayerNorm(const LayerNormArgs& args) {
  const bool is_static = args.q != nullptr && args.q_is_static;
  const StaticQuantizer quantizer =
      MakeStaticQuantizer(args.static_scale, args.static_zero, is_static ? args.q_multiplier : nullptr, args.cols);
  for (std::int64_t row = 0; row < args.rows; ++row) {
    float* out = args.out + row * args.out_stride;
    const float* residual = args.residual == nullptr ? nullptr : args.residual + row * args.residual_stride;
    const float* x = args.x + row * args.x_stride;
    if (is_static) {
      StaticRow codes(quantizer, args.q_multiplier, args.q + row * args.q_stride);
      LayerNormRow(args, x, residual, out, [&](std::int64_t c, std::int64_t n, Vec16 y) { codes.Put(c, n, y); });
      codes.Finish(args.cols, args.static_scale, args.static_zero, args.q_scale + row, args.q_zero + row);
      continue;
    }
    LayerNormRow(args, x, residual, out, [](std::int64_t, std::int64_t, Vec16) {});
    if (args.q != nullptr) {
      QuantizeRow(out, args.q_multiplier, args.cols, args.q + row * args.q_stride, args.q_scale + row,
                  args.q_zero + row);
    }
  }
}

}  // namespace
}  // namespace laconic::kernels
