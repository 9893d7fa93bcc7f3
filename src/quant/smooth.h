// SmoothQuant: moves outliers from a linear layer's input into its weights, y = (x / s) (s W).
// Source: Xiao et al. 2022 (arXiv 2211.10438), eq. 4. There s is folded into the LayerNormalization before; here the
// quantizer divides by it, which is right for post-LayerNorm models, whose normalised values also feed a residual, and
// for the inputs that no LayerNormalization makes. Strength chosen per layer: docs/numerics.md.
#pragma once

#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "quant/activations.h"
#include "quant/matrix.h"
#include "quant/qparams.h"
#include "quant/weight_range.h"

namespace laconic::quant {

// The alphas that are tried, weakest first: 0 means no smoothing.
inline constexpr float kSmoothAlphas[] = {0.0F, 0.3F, 0.4F, 0.5F, 0.6F, 0.7F, 0.8F, 0.9F, 1.0F};
// Rows that the choice looks at; more change nothing.
inline constexpr std::int64_t kSmoothSampleRows = 512;

// The input of one or several linear layers (Q, K and V read the same rows, so they share s), over all calibration.
struct SmoothInput {
  std::span<const float> min, max;      // [k], of each column
  std::span<const MatrixView> weights;  // each [n_i, k]: a row is an output channel
};

// s_j = max|x_j|^alpha / max|w_j|^(1 - alpha), both maxima at least 1e-5, divided by their geometric mean; in double,
// then rounded. alpha = 0: all 1. Returns [k].
std::vector<float> SmoothScales(const SmoothInput& input, float alpha);

struct SmoothChoice {
  float alpha = 0;
  std::vector<float> smooth;  // [k]
  double squared_error = 0;   // of the outputs on the sample, over all layers
};

// The alpha of `alphas` with the least squared error of x W over `sample` when both operands are quantized: weights as
// `config` has them, to nearest; activations dynamic per row, or static with the parameters of SmoothedMinMax. Of
// equals the first.
//
// Shapes:  sample [rows, k], finite.
// Errors:  kInvalidArgument for weights that are not finite, or a static range that is not.
// Threads: an alpha a task; the result does not depend on their number.
SmoothChoice ChooseSmoothing(const SmoothInput& input, const MatrixView& sample, bool dynamic,
                             const LayerQConfig& config, std::span<const float> alphas, ThreadPool* pool);

// The range of the smoothed input (`inv_smooth` empty: as it is): from the least min_j * inv_smooth_j to the largest
// max_j * inv_smooth_j, and 0.
Range SmoothedMinMax(std::span<const float> min, std::span<const float> max, std::span<const float> inv_smooth);

std::vector<float> Reciprocals(std::span<const float> values);

}  // namespace laconic::quant
