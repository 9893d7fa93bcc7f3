#include "quant/column_stats.h"

#include <algorithm>
#include <cmath>

#include "laconic/error.h"

namespace laconic::quant {
namespace {

// Steele, Lea, Flood 2014: the finaliser of SplitMix64, a bijection.
std::uint64_t Mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

}  // namespace

void ColumnRange::Add(const MatrixView& rows) {
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    const std::span<const float> row = rows.row(i);
    for (std::size_t j = 0; j < row.size(); ++j) {
      if (!std::isfinite(row[j])) {
        Fail(ErrorCode::kInvalidArgument, "expected finite activations, got ", row[j], " in column ", j);
      }
      min_[j] = std::min(min_[j], row[j]);
      max_[j] = std::max(max_[j], row[j]);
    }
  }
}

void ColumnRange::Add(const ColumnRange& other) {
  for (std::size_t j = 0; j < min_.size(); ++j) {
    min_[j] = std::min(min_[j], other.min_[j]);
    max_[j] = std::max(max_[j], other.max_[j]);
  }
}

void RowSample::Add(const MatrixView& rows) {
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    const std::uint64_t hash = Mix(num_rows_++);
    const bool is_full = static_cast<std::int64_t>(rows_.size()) == limit_;
    if (is_full && (limit_ == 0 || hash > rows_.rbegin()->first)) {
      continue;
    }
    if (is_full) {
      rows_.erase(std::prev(rows_.end()));
    }
    const std::span<const float> row = rows.row(i);
    rows_.emplace(hash, std::vector(row.begin(), row.end()));
  }
}

std::vector<float> RowSample::Rows() const {
  std::vector<float> out;
  out.reserve(rows_.size() * static_cast<std::size_t>(cols_));
  for (const auto& [hash, row] : rows_) {
    out.insert(out.end(), row.begin(), row.end());
  }
  return out;
}

}  // namespace laconic::quant
