// The little linear algebra that fitting a head needs, in double. Sums are in a fixed order: nothing depends on
// threads.
#pragma once

#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "metrics/linear_head.h"

namespace laconic {

double Dot(const double* a, const double* b, std::int64_t size) noexcept;
// Precondition: equal sizes.
double Dot(const std::vector<double>& a, const std::vector<double>& b) noexcept;

// out += factor * a
void AddScaled(double factor, const double* a, std::int64_t size, double* out) noexcept;
void AddScaled(double factor, const std::vector<double>& a, std::vector<double>* out) noexcept;

// A square matrix of which only the lower triangle, the diagonal included, is used.
class LowerTriangle {
 public:
  explicit LowerTriangle(std::int64_t size) : size_(size), values_(static_cast<std::size_t>(size * size)) {}
  std::int64_t size() const noexcept { return size_; }
  double* row(std::int64_t i) noexcept { return values_.data() + i * size_; }
  const double* row(std::int64_t i) const noexcept { return values_.data() + i * size_; }

 private:
  std::int64_t size_;
  std::vector<double> values_;
};

// xᵀx / n of centered features.
LowerTriangle Covariance(const CenteredFeatures& x, ThreadPool* pool);

// The Cholesky factor L of a + ridge · I, L·Lᵀ. Errors: kInvalidArgument if that is not positive definite.
LowerTriangle Cholesky(LowerTriangle a, double ridge);

// Replaces b by the solution y of L·Lᵀ·y = b.
void SolveCholesky(const LowerTriangle& lower, double* b) noexcept;

}  // namespace laconic
