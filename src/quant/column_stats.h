// What choosing a smoothing needs to know of a layer's input, gathered over any number of rows in fixed memory.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "quant/matrix.h"

namespace laconic::quant {

// The least and largest value of each column, 0 included.
class ColumnRange {
 public:
  explicit ColumnRange(std::int64_t cols)
      : min_(static_cast<std::size_t>(cols)), max_(static_cast<std::size_t>(cols)) {}

  // Errors: kInvalidArgument for a NaN or an infinity, naming its column.
  void Add(const MatrixView& rows);
  void Add(const ColumnRange& other);  // precondition: as many columns

  std::span<const float> min() const noexcept { return min_; }
  std::span<const float> max() const noexcept { return max_; }

 private:
  std::vector<float> min_, max_;
};

// Up to `limit` of the rows, each equally likely: those whose numbers (from 0, in the order added) hash lowest. So the
// choice depends neither on how many rows come at once nor on how many there will be.
class RowSample {
 public:
  RowSample(std::int64_t cols, std::int64_t limit) : cols_(cols), limit_(limit) {}

  void Add(const MatrixView& rows);
  // [n, cols], in the order of their hashes.
  std::vector<float> Rows() const;

 private:
  std::int64_t cols_;
  std::int64_t limit_;
  std::uint64_t num_rows_ = 0;
  std::map<std::uint64_t, std::vector<float>> rows_;  // by hash, which is one to one
};

}  // namespace laconic::quant
