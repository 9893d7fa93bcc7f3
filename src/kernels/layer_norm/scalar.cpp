#include <cmath>

#include "kernels/layer_norm/layer_norm.h"
#include "kernels/quantize_rows/quantize_rows.h"
#include "kernels/quantize_static/quantize_static.h"

namespace laconic::kernels {

void LayerNormScalar(const LayerNormArgs& args) noexcept {
  const auto cols = static_cast<double>(args.cols);
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    const float* residual = args.residual == nullptr ? nullptr : args.residual + row * args.residual_stride;
    float* out = args.out + row * args.out_stride;
    double sum = 0;
    for (std::int64_t c = 0; c < args.cols; ++c) {
      out[c] = residual == nullptr ? x[c] : x[c] + residual[c];
      sum += out[c];
    }
    const double mean = sum / cols;
    double squares = 0;
    for (std::int64_t c = 0; c < args.cols; ++c) {
      squares += (out[c] - mean) * (out[c] - mean);
    }
    const double inv_std = 1 / std::sqrt(squares / cols + args.epsilon);
    for (std::int64_t c = 0; c < args.cols; ++c) {
      out[c] = static_cast<float>((out[c] - mean) * inv_std * args.gamma[c] + args.beta[c]);
    }
  }
  if (args.q != nullptr && args.q_is_static) {
    QuantizeStaticScalar({args.rows, args.cols, args.out, args.out_stride, args.q_multiplier, args.static_scale,
                          args.static_zero, args.q, args.q_stride, args.q_scale, args.q_zero});
  } else if (args.q != nullptr) {
    QuantizeRowsScalar({args.rows, args.cols, args.out, args.out_stride, args.q_multiplier, args.q, args.q_stride,
                        args.q_scale, args.q_zero});
  }
}

}  // namespace laconic::kernels
