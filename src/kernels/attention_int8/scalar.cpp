#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/attention_int8/attention_int8.h"

namespace laconic::kernels {
namespace {

// Of n numbers, `stride` apart.
float StepOf(const float* x, std::int64_t n, std::int64_t stride) {
  float largest = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const float magnitude = std::abs(x[i * stride]);
    if (!(magnitude <= std::numeric_limits<float>::max())) {
      return NAN;
    }
    largest = std::max(largest, magnitude);
  }
  return std::max(largest / 127.0F, kMinCodeStep);
}

std::int32_t CodeOf(float x, float step) {
  return std::isnan(step) ? 0 : static_cast<std::int32_t>(std::nearbyint(x * (1.0F / step)));
}

// 255 * 2^x by Exp2 of activation_simd.h, a lane, to 7e-6.
float WeightOf(float x) {
  constexpr float kCoefficients[] = {255, 255 * 0.693136752F, 255 * 0.2402253F, 255 * 0.0558382832F,
                                     255 * 0.00965671055F};
  const float bounded = std::max(x, -126.0F);
  const float n = std::nearbyint(bounded);
  const float r = bounded - n;
  float value = kCoefficients[4];
  for (const int i : {3, 2, 1, 0}) {
    value = std::fma(value, r, kCoefficients[i]);
  }
  return std::ldexp(value, static_cast<int>(n));
}

// scores[j] = (codes of q . codes of k) * factor * k's step; returns their maximum, NaN if one is NaN or +inf.
float Score(const AttentionArgs& args, const float* q, float* scores) {
  constexpr float kLog2E = 1.44269504F;
  const float q_step = StepOf(q, args.head_dim, 1);
  const float factor = q_step * (args.scale * kLog2E);
  float largest = -INFINITY;
  for (std::int64_t j = 0; j < args.keys; ++j) {
    const float* k = args.k + j * args.k_stride;
    const float k_step = StepOf(k, args.head_dim, 1);
    std::int32_t sum = 0;
    for (std::int64_t d = 0; d < args.head_dim; ++d) {
      sum += CodeOf(q[d], q_step) * CodeOf(k[d], k_step);
    }
    scores[j] = static_cast<float>(sum) * factor * k_step;
    largest = std::max(largest, scores[j]) + 0 * std::max(scores[j], 0.0F);
  }
  return largest;
}

}  // namespace

void AttentionInt8Scalar(const AttentionArgs& args) noexcept {
  auto* weights = static_cast<float*>(args.scratch);  // [keys]: scores, then integers
  for (std::int64_t i = 0; i < args.queries; ++i) {
    const float largest = Score(args, args.q + i * args.q_stride, weights);
    float sum = args.keys == 0 || std::isfinite(largest) ? 0 : NAN;
    for (std::int64_t j = 0; j < args.keys && !std::isnan(sum); ++j) {
      weights[j] = std::nearbyint(WeightOf(weights[j] - largest));
      sum += weights[j];
    }
    const float inv_sum = args.keys == 0 ? 0 : 1 / sum;
    float result[kMaxHeadDim];  // `out` may be the queries
    for (std::int64_t d = 0; d < args.head_dim; ++d) {
      const float step = StepOf(args.v + d, args.keys, args.v_stride);
      std::int32_t total = 0;
      for (std::int64_t j = 0; j < args.keys && !std::isnan(sum); ++j) {
        total += static_cast<std::int32_t>(weights[j]) * CodeOf(args.v[j * args.v_stride + d], step);
      }
      result[d] = static_cast<float>(total) * inv_sum * step;
    }
    std::copy_n(result, args.head_dim, args.out + i * args.out_stride);
  }
}

}  // namespace laconic::kernels
