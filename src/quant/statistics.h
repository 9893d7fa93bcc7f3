// What is kept of all values that a tensor took during calibration: exact extremes of each column, and exact counts in
// bins of float bits. It is the same for any split into batches, order and number of threads; parts can be merged.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "quant/qparams.h"

namespace laconic::quant {

// Values of [lo, hi], ends included: those that share sign, exponent and 7 bits of the mantissa, hi - lo < 0.8 % of
// them.
struct Bin {
  float lo = 0;
  float hi = 0;
  std::uint64_t count = 0;
};

class TensorStatistics {
 public:
  // No table holds more values: sums of counts are exact in f64.
  static constexpr std::uint64_t kMaxCount = std::uint64_t{1} << 53;

  explicit TensorStatistics(std::int64_t width = 0);

  // Shapes: rows [num_rows, width()], row stride `stride` >= width(). -0 counts as 0. Returns the number of values that
  // are not finite, of which nothing is kept.
  std::int64_t Add(const float* rows, std::int64_t num_rows, std::int64_t stride);

  // Commutative and associative, bit for bit. Errors: kInvalidArgument for another width, or over kMaxCount values.
  void Merge(const TensorStatistics& other);
  void Clear();

  std::int64_t width() const noexcept { return static_cast<std::int64_t>(column_min_.size()); }
  std::uint64_t count() const noexcept;
  std::span<const float> column_min() const noexcept { return column_min_; }  // infinity before any value
  std::span<const float> column_max() const noexcept { return column_max_; }  // -infinity before any value
  Range range() const noexcept;                                               // over all columns
  // The bins that hold values, ascending, their ends cut to range().
  std::vector<Bin> Bins() const;

  // At most 512 KB of counts.
  nlohmann::ordered_json ToJson() const;
  // Errors: kInvalidFile for what ToJson cannot have written of at least one row.
  static TensorStatistics FromJson(const nlohmann::ordered_json& json);

  bool operator==(const TensorStatistics&) const = default;

 private:
  // A bin's key is the upper half of the float's bits, made to ascend with the value; a group shares sign and exponent.
  using Group = std::array<std::uint64_t, 128>;

  std::vector<float> column_min_;
  std::vector<float> column_max_;
  std::map<std::uint32_t, Group> groups_;  // by key / 128
};

}  // namespace laconic::quant
