#include "quant/gptq.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "laconic/error.h"
#include "quant/eigen.h"

namespace laconic::quant {
namespace {

// Up to 256 products of u8 codes less their zero points, each at most 255², sum exactly in f32.
constexpr std::int64_t kHessianRows = 256;
constexpr std::int64_t kTile = 256;      // columns of a Hessian tile, and of a piece of the triangle's inverse
constexpr std::int64_t kFeedback = 128;  // columns whose errors are fed back together
constexpr std::int64_t kRowsPerTask = 32;

using MapD = Eigen::Map<RowMatrixD>;
using ConstMapD = Eigen::Map<const RowMatrixD>;

std::int64_t CeilDiv(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

std::vector<std::int64_t> DescendingDiagonal(std::span<const double> hessian, std::int64_t cols) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(cols));
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::ranges::greater{},
                           [&](std::int64_t i) { return hessian[static_cast<std::size_t>(i * cols + i)]; });
  return order;
}

// H + damping with rows and columns in reversed `order`.
RowMatrixD DampedReversed(std::span<const double> hessian, const std::vector<std::int64_t>& order, double damping) {
  const auto cols = static_cast<std::int64_t>(order.size());
  RowMatrixD out(cols, cols);
  for (std::int64_t i = 0; i < cols; ++i) {
    for (std::int64_t j = 0; j < cols; ++j) {
      const std::int64_t from = order[static_cast<std::size_t>(cols - 1 - i)];
      out(i, j) = hessian[static_cast<std::size_t>(from * cols + order[static_cast<std::size_t>(cols - 1 - j)])];
    }
    out(i, i) = out(i, i) > 0 ? out(i, i) : 1.0;
  }
  out.diagonal().array() += damping * out.diagonal().mean();
  return out;
}

// The inverse of the lower triangle of `lower`, a strip of columns a task, written where the caller wants it:
// upper[cols - 1 - i, cols - 1 - j] = inverse[i, j].
void InvertReversed(const RowMatrixD& lower, double* upper, ThreadPool* pool) {
  const std::int64_t cols = lower.rows();
  pool->Run(CeilDiv(cols, kTile), [&](std::int64_t task, int /*thread*/) {
    const std::int64_t first = task * kTile;
    const std::int64_t height = cols - first;
    const std::int64_t width = std::min(kTile, height);
    RowMatrixD strip = RowMatrixD::Identity(height, width);
    lower.bottomRightCorner(height, height).triangularView<Eigen::Lower>().solveInPlace(strip);
    MapD(upper, cols, cols).block(0, height - width, height, width) = strip.reverse();
  });
}

// One task's rows, in the factor's order of columns.
class FeedbackRows {
 public:
  FeedbackRows(const MatrixView& weight, const GptqFactor& factor, std::span<const float> scales, Codes codes,
               std::int64_t first, std::int64_t count)
      : factor_(factor),
        scales_(scales.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count))),
        codes_(codes),
        upper_(factor.upper.data(), weight.cols, weight.cols),
        w_(count, weight.cols) {
    for (std::int64_t i = 0; i < count; ++i) {
      const std::span<const float> row = weight.row(first + i);
      for (std::int64_t j = 0; j < weight.cols; ++j) {
        w_(i, j) = row[static_cast<std::size_t>(factor.order[static_cast<std::size_t>(j)])];
      }
    }
  }

  // q: the first of these rows.
  void Run(std::int8_t* q) {
    const std::int64_t cols = w_.cols();
    for (std::int64_t begin = 0; begin < cols; begin += kFeedback) {
      const std::int64_t width = std::min(kFeedback, cols - begin);
      RowMatrixD errors(w_.rows(), width);
      for (std::int64_t i = 0; i < w_.rows(); ++i) {
        RoundBlock(i, begin, width, q + i * cols, errors.row(i).data());
      }
      const std::int64_t rest = cols - begin - width;
      w_.rightCols(rest).noalias() -= errors * upper_.block(begin, begin + width, width, rest);
    }
  }

 private:
  void RoundBlock(std::int64_t i, std::int64_t begin, std::int64_t width, std::int8_t* q, double* errors) {
    const double scale = scales_[static_cast<std::size_t>(i)];
    double* w = w_.row(i).data();
    for (std::int64_t j = begin; j < begin + width; ++j) {
      const double code = std::clamp<double>(std::nearbyint(w[j] / scale), codes_.min, codes_.max);
      q[factor_.order[static_cast<std::size_t>(j)]] = static_cast<std::int8_t>(code);
      const double* u = factor_.upper.data() + j * w_.cols();
      const double error = (w[j] - scale * code) / u[j];
      errors[j - begin] = error;
      for (std::int64_t later = j + 1; later < begin + width; ++later) {
        w[later] -= error * u[later];
      }
    }
  }

  const GptqFactor& factor_;
  std::span<const float> scales_;
  Codes codes_;
  ConstMapD upper_;
  RowMatrixD w_;
};

}  // namespace

void ColumnMean::Add(const MatrixView& rows) {
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    const std::span<const float> row = rows.row(i);
    for (std::size_t j = 0; j < sums_.size(); ++j) {
      sums_[j] += row[j];
    }
  }
  num_rows_ += rows.rows;
}

std::vector<double> ColumnMean::Mean() const {
  std::vector<double> mean = sums_;
  for (double& value : mean) {
    value /= static_cast<double>(std::max<std::int64_t>(num_rows_, 1));
  }
  return mean;
}

Hessian::Hessian(std::int64_t cols) : cols_(cols), sums_(static_cast<std::size_t>(cols * cols)) {
  pending_.reserve(static_cast<std::size_t>(kHessianRows * cols));
}

std::int64_t Hessian::BytesFor(std::int64_t cols) noexcept {
  return cols * cols * static_cast<std::int64_t>(sizeof(double)) +
         kHessianRows * cols * static_cast<std::int64_t>(sizeof(float));
}

void Hessian::Add(const MatrixView& rows, ThreadPool* pool) {
  const auto full = static_cast<std::size_t>(kHessianRows * cols_);
  std::span<const float> left(rows.data, static_cast<std::size_t>(rows.size()));
  while (!left.empty()) {
    const std::span<const float> taken = left.first(std::min(left.size(), full - pending_.size()));
    pending_.insert(pending_.end(), taken.begin(), taken.end());
    left = left.subspan(taken.size());
    if (pending_.size() == full) {
      Flush(pool);
    }
  }
  num_rows_ += rows.rows;
}

void Hessian::Flush(ThreadPool* pool) {
  const std::int64_t tiles = CeilDiv(cols_, kTile);
  const Eigen::Map<const RowMatrixF> rows(pending_.data(), static_cast<std::int64_t>(pending_.size()) / cols_, cols_);
  pool->Run(tiles * tiles, [&](std::int64_t task, int /*thread*/) {
    const std::int64_t i = task / tiles * kTile;
    const std::int64_t j = task % tiles * kTile;
    if (j > i) {
      return;
    }
    const std::int64_t height = std::min(kTile, cols_ - i);
    const std::int64_t width = std::min(kTile, cols_ - j);
    const RowMatrixF products = rows.middleCols(i, height).transpose() * rows.middleCols(j, width);
    MapD(sums_.data(), cols_, cols_).block(i, j, height, width) += products.cast<double>();
  });
  pending_.clear();
}

std::vector<double> Hessian::Mean(ThreadPool* pool) {
  Flush(pool);
  std::vector<double> mean(sums_.size());
  const auto n = static_cast<double>(std::max<std::int64_t>(num_rows_, 1));
  for (std::int64_t i = 0; i < cols_; ++i) {
    for (std::int64_t j = 0; j <= i; ++j) {
      const double value = sums_[static_cast<std::size_t>(i * cols_ + j)] / n;
      mean[static_cast<std::size_t>(i * cols_ + j)] = value;
      mean[static_cast<std::size_t>(j * cols_ + i)] = value;
    }
  }
  return mean;
}

// With columns reversed, H = L Lᵀ; so in the order itself H = R Rᵀ for an upper R, and U = R⁻¹: one Cholesky and one
// triangular inverse instead of the usual Cholesky, inverse, Cholesky.
GptqFactor MakeGptqFactor(std::span<const double> hessian, std::int64_t cols, double damping, ThreadPool* pool) {
  if (!std::ranges::all_of(hessian, [](double value) { return std::isfinite(value); })) {
    Fail(ErrorCode::kInvalidArgument, "expected finite activations, got a NaN or an infinity in their products");
  }
  GptqFactor factor{.order = DescendingDiagonal(hessian, cols),
                    .upper = std::vector<double>(static_cast<std::size_t>(cols * cols))};
  RowMatrixD damped = DampedReversed(hessian, factor.order, damping);
  const Eigen::LLT<Eigen::Ref<RowMatrixD>> cholesky(damped);
  if (cholesky.info() != Eigen::Success) {
    Fail(ErrorCode::kInvalidArgument, "the products of the activations are not positive definite with damping ",
         damping);
  }
  InvertReversed(damped, factor.upper.data(), pool);
  return factor;
}

void GptqRows(const MatrixView& weight, const GptqFactor& factor, std::span<const float> scales, Codes codes,
              std::span<std::int8_t> q, ThreadPool* pool) {
  pool->Run(CeilDiv(weight.rows, kRowsPerTask), [&](std::int64_t task, int /*thread*/) {
    const std::int64_t first = task * kRowsPerTask;
    const std::int64_t count = std::min(kRowsPerTask, weight.rows - first);
    FeedbackRows(weight, factor, scales, codes, first, count).Run(q.data() + first * weight.cols);
  });
}

std::vector<float> CorrectedBias(const MatrixView& weight, std::span<const float> bias, std::span<const double> mean_x,
                                 std::span<const double> mean_xq, std::span<const float> scales,
                                 std::span<const std::int8_t> q) {
  std::vector<float> out(static_cast<std::size_t>(weight.rows));
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::span<const float> row = weight.row(static_cast<std::int64_t>(i));
    const std::span<const std::int8_t> codes = q.subspan(i * row.size(), row.size());
    double exact = bias.empty() ? 0.0 : bias[i];
    double rounded = 0;
    for (std::size_t j = 0; j < row.size(); ++j) {
      exact += mean_x[j] * row[j];
      rounded += mean_xq[j] * codes[j];
    }
    out[i] = static_cast<float>(exact - rounded * scales[i]);
    if (!std::isfinite(out[i])) {
      Fail(ErrorCode::kInvalidArgument, "expected means of finite activations to correct a bias by, got ", out[i],
           " for output ", i);
    }
  }
  return out;
}

}  // namespace laconic::quant
