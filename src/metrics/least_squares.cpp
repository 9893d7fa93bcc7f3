#include "metrics/least_squares.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "laconic/error.h"
#include "metrics/linear_algebra.h"

namespace laconic {
namespace {

// out = xᵀ(targets - x · weight) / n for one label. Precondition: `out` is zero.
void ProjectResidual(const CenteredFeatures& x, const float* weight, const double* targets, double* out) noexcept {
  for (std::int64_t n = 0; n < x.num_rows; ++n) {
    const double* row = x.row(n);
    double residual = targets[n];
    for (std::int64_t j = 0; j < x.num_columns; ++j) {
      residual -= weight[j] * row[j];
    }
    AddScaled(residual / static_cast<double>(x.num_rows), row, x.num_columns, out);
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
  const LowerTriangle lower = Cholesky(Covariance(x, pool), penalty * x.mean_variance);

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
    SolveCholesky(lower, step);
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
