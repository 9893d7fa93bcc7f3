// GPTQ: rounds a layer's weights column by column and lets the columns not yet rounded make up for each error, so that
// the layer's outputs change least on the calibration data. And the mean that is left goes into the bias.
// Source: Frantar et al. 2022 (arXiv 2210.17323), algorithm 1, with the Hessian of the *quantized* activations.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "quant/matrix.h"
#include "quant/weight_range.h"

namespace laconic::quant {

// The mean of many rows, in double.
class ColumnMean {
 public:
  explicit ColumnMean(std::int64_t cols) : sums_(static_cast<std::size_t>(cols)) {}
  void Add(const MatrixView& rows);
  std::vector<double> Mean() const;  // zeros where nothing was added

 private:
  std::vector<double> sums_;
  std::int64_t num_rows_ = 0;
};

// xᵀx / n of many rows: f32 products summed over 256 rows, those sums in double. Depends on the rows' order, but not on
// how Add was called nor on threads. Memory: cols² doubles and 256 rows.
class Hessian {
 public:
  explicit Hessian(std::int64_t cols);
  static std::int64_t BytesFor(std::int64_t cols) noexcept;

  std::int64_t cols() const noexcept { return cols_; }
  void Add(const MatrixView& rows, ThreadPool* pool);
  // [cols, cols]; zeros where nothing was added.
  std::vector<double> Mean(ThreadPool* pool);

 private:
  void Flush(ThreadPool* pool);

  std::int64_t cols_;
  std::int64_t num_rows_ = 0;
  std::vector<float> pending_;  // rows not yet in sums_
  std::vector<double> sums_;    // [cols, cols], lower triangle in tiles
};

inline constexpr double kGptqDamping = 0.01;  // of the mean diagonal

// What GPTQ needs of a Hessian; layers that read the same input share it.
struct GptqFactor {
  std::vector<std::int64_t> order;  // columns, largest diagonal first; of equals the lower index
  std::vector<double> upper;  // [k, k] U with UᵀU = (H + damping)⁻¹, rows and columns in `order`; below: zeros
};

// A column whose diagonal is 0 (an input that is always 0) gets 1 there: it takes no part in the feedback.
// Errors: kInvalidArgument for a Hessian that is not finite or not positive definite after damping.
GptqFactor MakeGptqFactor(std::span<const double> hessian, std::int64_t cols, double damping, ThreadPool* pool);

// The codes of `weight`, whose row i has scales[i]: column by column in the factor's order,
//   q = clamp(rne(w / scale), codes); e = (w - scale q) / U_jj; w_later -= e U_j,later
// in double. Columns come back in their own order.
// Shapes:  weight [n, k]; scales [n]; q [n, k]. Threads: 32 rows a task; the result does not depend on their number.
void GptqRows(const MatrixView& weight, const GptqFactor& factor, std::span<const float> scales, Codes codes,
              std::span<std::int8_t> q, ThreadPool* pool);

// b_i + sum_j mean_x_j w_ij - sum_j mean_xq_j scale_i q_ij: the bias with which the quantized layer has the float
// layer's mean output. `bias` may be empty (zeros). In double, then rounded.
// Shapes: weight [n, k], as the float layer has it; mean_x, mean_xq [k] of the inputs that the float and the quantized
//         layer see (the latter smoothed); scales [n]; q [n, k]; returns [n].
// Errors: kInvalidArgument for means that make a bias NaN or infinite, naming the output.
std::vector<float> CorrectedBias(const MatrixView& weight, std::span<const float> bias, std::span<const double> mean_x,
                                 std::span<const double> mean_xq, std::span<const float> scales,
                                 std::span<const std::int8_t> q);

}  // namespace laconic::quant
