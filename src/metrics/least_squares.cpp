#include "metrics/least_squares.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "laconic/error.h"

namespace laconic {
namespace {

// A square matrix of which only the lower triangle, the diagonal included, is used.
class LowerTriangle {
 public:
  explicit LowerTriangle(std::int64_t size) : size_(size), values_(static_cast<std::size_t>(size * size)) {}
  double* row(std::int64_t i) noexcept { return values_.data() + i * size_; }
  const double* row(std::int64_t i) const noexcept { return values_.data() + i * size_; }

 private:
  std::int64_t size_;
  std::vector<double> values_;
};

// xᵀx / n + ridge · I. A task makes a few rows, so that `x` is read that much less often.
LowerTriangle Covariance(const CenteredFeatures& x, double ridge, ThreadPool* pool) {
  constexpr std::int64_t kRowsPerTask = 16;
  LowerTriangle result(x.num_columns);
  pool->Run((x.num_columns + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task, int) {
    const std::int64_t begin = task * kRowsPerTask;
    const std::int64_t end = std::min(begin + kRowsPerTask, x.num_columns);
    for (std::int64_t n = 0; n < x.num_rows; ++n) {
      const double* row = x.row(n);
      for (std::int64_t i = begin; i < end; ++i) {
        double* out = result.row(i);
        for (std::int64_t j = 0; j <= i; ++j) {
          out[j] += row[i] * row[j];
        }
      }
    }
    for (std::int64_t i = begin; i < end; ++i) {
      double* out = result.row(i);
      for (std::int64_t j = 0; j <= i; ++j) {
        out[j] /= static_cast<double>(x.num_rows);
      }
      out[i] += ridge;
    }
  });
  return result;
}

// Cholesky: L with L·Lᵀ = a, in place.
void Factor(LowerTriangle* a, std::int64_t size) {
  for (std::int64_t i = 0; i < size; ++i) {
    double* row = a->row(i);
    for (std::int64_t j = 0; j <= i; ++j) {
      const double* other = a->row(j);
      double sum = row[j];
      for (std::int64_t k = 0; k < j; ++k) {
        sum -= row[k] * other[k];
      }
      if (j < i) {
        row[j] = sum / other[j];
      } else if (sum > 0) {
        row[i] = std::sqrt(sum);
      } else {
        Fail(ErrorCode::kInvalidArgument, "the features are linearly dependent: a penalty above 0 is needed");
      }
    }
  }
}

// Solves L·Lᵀ · y = b in place.
void Solve(const LowerTriangle& lower, std::int64_t size, double* b) noexcept {
  for (std::int64_t i = 0; i < size; ++i) {
    const double* row = lower.row(i);
    for (std::int64_t k = 0; k < i; ++k) {
      b[i] -= row[k] * b[k];
    }
    b[i] /= row[i];
  }
  for (std::int64_t i = size - 1; i >= 0; --i) {
    const double* row = lower.row(i);
    b[i] /= row[i];
    for (std::int64_t k = 0; k < i; ++k) {
      b[k] -= row[k] * b[i];
    }
  }
}

// out = xᵀ(targets - x · weight) / n for one label. Precondition: `out` is zero.
void ProjectResidual(const CenteredFeatures& x, const float* weight, const double* targets, double* out) noexcept {
  for (std::int64_t n = 0; n < x.num_rows; ++n) {
    const double* row = x.row(n);
    double residual = targets[n];
    for (std::int64_t j = 0; j < x.num_columns; ++j) {
      residual -= weight[j] * row[j];
    }
    residual /= static_cast<double>(x.num_rows);
    for (std::int64_t j = 0; j < x.num_columns; ++j) {
      out[j] += residual * row[j];
    }
  }
}

void CheckShapes(const LinearHead& old, std::int64_t num_rows, std::span<const float> target_logits, double penalty) {
  if (static_cast<std::int64_t>(target_logits.size()) != num_rows * old.num_labels) {
    Fail(ErrorCode::kInvalidArgument, "expected ", num_rows, " rows of ", old.num_labels, " logits, got ",
         target_logits.size(), " values");
  }
  if (!std::all_of(target_logits.begin(), target_logits.end(), [](float value) { return std::isfinite(value); })) {
    Fail(ErrorCode::kInvalidArgument, "a target logit is not finite");
  }
  if (!(penalty >= 0) || std::isinf(penalty)) {
    Fail(ErrorCode::kInvalidArgument, "expected a penalty of at least 0, got ", penalty);
  }
}

}  // namespace

LinearHead RefitHead(const LinearHead& old, std::span<const float> features, std::span<const float> target_logits,
                     double penalty, ThreadPool* pool) {
  const CenteredFeatures x = CenterFeatures(features, old.num_features);
  CheckShapes(old, x.num_rows, target_logits, penalty);
  LowerTriangle lower = Covariance(x, penalty * x.mean_variance, pool);
  Factor(&lower, x.num_columns);

  const auto num_rows = static_cast<std::size_t>(x.num_rows);
  const auto num_labels = static_cast<std::size_t>(old.num_labels);
  std::vector<double> targets(target_logits.size());  // [labels, rows], centered
  std::vector<double> mean(num_labels);
  for (std::size_t label = 0; label < num_labels; ++label) {
    for (std::size_t n = 0; n < num_rows; ++n) {
      targets[label * num_rows + n] = target_logits[n * num_labels + label];
      mean[label] += targets[label * num_rows + n] / static_cast<double>(num_rows);
    }
    for (std::size_t n = 0; n < num_rows; ++n) {
      targets[label * num_rows + n] -= mean[label];
    }
  }

  LinearHead head = old;
  std::vector<double> steps(old.weight.size());
  pool->Run(old.num_labels, [&](std::int64_t label, int) {
    float* weight = head.weight.data() + label * x.num_columns;
    double* step = steps.data() + label * x.num_columns;
    ProjectResidual(x, weight, targets.data() + label * x.num_rows, step);
    Solve(lower, x.num_columns, step);
    double bias = mean[static_cast<std::size_t>(label)];
    for (std::int64_t j = 0; j < x.num_columns; ++j) {
      const double refitted = weight[j] + step[j];
      bias -= refitted * x.mean[static_cast<std::size_t>(j)];
      weight[j] = static_cast<float>(refitted);
    }
    head.bias[static_cast<std::size_t>(label)] = static_cast<float>(bias);
  });
  return head;
}

}  // namespace laconic
