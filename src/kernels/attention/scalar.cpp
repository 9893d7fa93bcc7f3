#include <algorithm>
#include <cmath>

#include "kernels/attention/attention.h"

namespace laconic::kernels {

void AttentionScalar(const AttentionArgs& args) noexcept {
  auto* weights = static_cast<float*>(args.scratch);  // [keys]
  for (std::int64_t i = 0; i < args.queries; ++i) {
    const float* q = args.q + i * args.q_stride;
    float result[kMaxHeadDim] = {};
    float largest = -INFINITY;
    for (std::int64_t j = 0; j < args.keys; ++j) {
      float dot = 0;
      for (std::int64_t d = 0; d < args.head_dim; ++d) {
        dot += q[d] * args.k[j * args.k_stride + d];
      }
      weights[j] = dot * args.scale;
      largest = std::max(largest, weights[j]);
    }
    float sum = 0;
    for (std::int64_t j = 0; j < args.keys; ++j) {
      weights[j] = std::exp(weights[j] - largest);
      sum += weights[j];
      for (std::int64_t d = 0; d < args.head_dim; ++d) {
        result[d] += weights[j] * args.v[j * args.v_stride + d];
      }
    }
    const float inv_sum = args.keys == 0 ? 0 : 1 / sum;
    for (std::int64_t d = 0; d < args.head_dim; ++d) {
      args.out[i * args.out_stride + d] = result[d] * inv_sum;
    }
  }
}

}  // namespace laconic::kernels
