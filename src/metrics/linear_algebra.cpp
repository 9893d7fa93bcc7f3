#include "metrics/linear_algebra.h"

#include <algorithm>
#include <cmath>

#include "laconic/error.h"

namespace laconic {

double Dot(const double* a, const double* b, std::int64_t size) noexcept {
  // Eight sums at once: a single one would wait for each addition.
  constexpr std::int64_t kLanes = 8;
  double sums[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      sums[lane] += a[i + lane] * b[i + lane];
    }
  }
  double sum = 0;
  for (const double lane : sums) {
    sum += lane;
  }
  for (; i < size; ++i) {
    sum += a[i] * b[i];
  }
  return sum;
}

double Dot(const std::vector<double>& a, const std::vector<double>& b) noexcept {
  return Dot(a.data(), b.data(), static_cast<std::int64_t>(a.size()));
}

void AddScaled(double factor, const double* a, std::int64_t size, double* out) noexcept {
  for (std::int64_t i = 0; i < size; ++i) {
    out[i] += factor * a[i];
  }
}

void AddScaled(double factor, const std::vector<double>& a, std::vector<double>* out) noexcept {
  AddScaled(factor, a.data(), static_cast<std::int64_t>(a.size()), out->data());
}

LowerTriangle Covariance(const CenteredFeatures& x, ThreadPool* pool) {
  constexpr std::int64_t kRowsPerTask = 16;  // of the result, so that `x` is read that much less often
  LowerTriangle result(x.num_columns);
  pool->Run((x.num_columns + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task, int) {
    const std::int64_t begin = task * kRowsPerTask;
    const std::int64_t end = std::min(begin + kRowsPerTask, x.num_columns);
    for (std::int64_t n = 0; n < x.num_rows; ++n) {
      const double* row = x.row(n);
      for (std::int64_t i = begin; i < end; ++i) {
        AddScaled(row[i] / static_cast<double>(x.num_rows), row, i + 1, result.row(i));
      }
    }
  });
  return result;
}

LowerTriangle Cholesky(LowerTriangle a, double ridge) {
  for (std::int64_t i = 0; i < a.size(); ++i) {
    double* row = a.row(i);
    for (std::int64_t j = 0; j < i; ++j) {
      row[j] = (row[j] - Dot(row, a.row(j), j)) / a.row(j)[j];
    }
    const double rest = row[i] + ridge - Dot(row, row, i);
    if (!(rest > 0)) {
      Fail(ErrorCode::kInvalidArgument, "the features are linearly dependent: a penalty above 0 is needed");
    }
    row[i] = std::sqrt(rest);
  }
  return a;
}

void SolveCholesky(const LowerTriangle& lower, double* b) noexcept {
  for (std::int64_t i = 0; i < lower.size(); ++i) {
    b[i] = (b[i] - Dot(lower.row(i), b, i)) / lower.row(i)[i];
  }
  for (std::int64_t i = lower.size() - 1; i >= 0; --i) {
    b[i] /= lower.row(i)[i];
    AddScaled(-b[i], lower.row(i), i, b);
  }
}

}  // namespace laconic
