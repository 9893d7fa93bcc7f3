#include "quant/statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include <nlohmann/json.hpp>

#include "laconic/error.h"
#include "quant/hex_floats.h"

namespace laconic::quant {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::uint32_t kSign = 0x80000000U;
constexpr std::uint32_t kNumKeys = 0x10000U;
constexpr std::uint32_t kGroupSize = 128;

std::uint32_t KeyOf(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return ((bits & kSign) != 0 ? ~bits : bits | kSign) >> 16U;
}

// The least and the largest float of a key; -0 has none.
Range EdgesOf(std::uint32_t key) {
  const auto value_of = [](std::uint32_t ascending) {
    ascending -= ascending == ~kSign ? 1 : 0;
    return std::bit_cast<float>((ascending & kSign) != 0 ? ascending & ~kSign : ~ascending);
  };
  return {value_of(key << 16U), value_of(key << 16U | 0xFFFFU)};
}

bool IsFinite(float value) { return std::abs(value) < kInfinity; }

// Widens the columns' extremes by a row; NaN and infinities are left out.
void Widen(const float* row, std::span<float> min, std::span<float> max) {
  for (std::size_t j = 0; j < min.size(); ++j) {
    const float value = row[j] + 0.0F;
    if (IsFinite(value)) {
      min[j] = std::min(min[j], value);
      max[j] = std::max(max[j], value);
    }
  }
}

}  // namespace

TensorStatistics::TensorStatistics(std::int64_t width)
    : column_min_(static_cast<std::size_t>(width), kInfinity),
      column_max_(static_cast<std::size_t>(width), -kInfinity) {}

std::int64_t TensorStatistics::Add(const float* rows, std::int64_t num_rows, std::int64_t stride) {
  std::array<Group*, kNumKeys / kGroupSize> groups{};  // finds in one step those met in this call
  std::int64_t num_nonfinite = 0;
  for (std::int64_t i = 0; i < num_rows; ++i) {
    const float* row = rows + i * stride;
    for (std::size_t j = 0; j < column_min_.size(); ++j) {
      const float value = row[j] + 0.0F;  // -0 becomes 0
      if (!IsFinite(value)) {
        ++num_nonfinite;
        continue;
      }
      const std::uint32_t key = KeyOf(value);
      Group*& group = groups[key / kGroupSize];
      if (group == nullptr) {
        group = &groups_[key / kGroupSize];
      }
      ++(*group)[key % kGroupSize];
    }
    Widen(row, column_min_, column_max_);
  }
  return num_nonfinite;
}

void TensorStatistics::Merge(const TensorStatistics& other) {
  if (other.width() != width()) {
    Fail(ErrorCode::kInvalidArgument, "expected rows of ", width(), " values, got ", other.width());
  }
  if (count() + other.count() > kMaxCount) {
    Fail(ErrorCode::kInvalidArgument, "more than ", kMaxCount, " values");
  }
  for (std::size_t j = 0; j < column_min_.size(); ++j) {
    column_min_[j] = std::min(column_min_[j], other.column_min_[j]);
    column_max_[j] = std::max(column_max_[j], other.column_max_[j]);
  }
  for (const auto& [at, counts] : other.groups_) {
    std::ranges::transform(groups_[at], counts, groups_[at].begin(), std::plus());
  }
}

void TensorStatistics::Clear() {
  std::ranges::fill(column_min_, kInfinity);
  std::ranges::fill(column_max_, -kInfinity);
  groups_.clear();
}

std::uint64_t TensorStatistics::count() const noexcept {
  std::uint64_t sum = 0;
  for (const auto& [at, counts] : groups_) {
    for (const std::uint64_t count : counts) {
      sum += count;
    }
  }
  return sum;
}

Range TensorStatistics::range() const noexcept {
  Range range = {kInfinity, -kInfinity};
  for (std::size_t j = 0; j < column_min_.size(); ++j) {
    range = {std::min(range.min, column_min_[j]), std::max(range.max, column_max_[j])};
  }
  return range;
}

std::vector<Bin> TensorStatistics::Bins() const {
  std::vector<Bin> bins;
  const Range all = range();
  for (const auto& [at, counts] : groups_) {
    for (std::uint32_t i = 0; i < kGroupSize; ++i) {
      if (counts[i] != 0) {
        const Range edges = EdgesOf(at * kGroupSize + i);
        bins.push_back({std::max(edges.min, all.min), std::min(edges.max, all.max), counts[i]});
      }
    }
  }
  return bins;
}

// {"width": 384, "min": "c03f…", "max": "…", "bins": [[key, count, count of key + 1, …], …]}
nlohmann::ordered_json TensorStatistics::ToJson() const {
  nlohmann::ordered_json runs = nlohmann::ordered_json::array();
  std::uint32_t next = kNumKeys;
  for (const auto& [at, counts] : groups_) {
    for (std::uint32_t i = 0; i < kGroupSize; ++i) {
      if (counts[i] == 0) {
        continue;
      }
      const std::uint32_t key = at * kGroupSize + i;
      if (key != next) {
        runs.push_back({key});
      }
      runs.back().push_back(counts[i]);
      next = key + 1;
    }
  }
  return {{"width", width()}, {"min", ToHex(column_min_)}, {"max", ToHex(column_max_)}, {"bins", std::move(runs)}};
}

TensorStatistics TensorStatistics::FromJson(const nlohmann::ordered_json& json) {
  constexpr std::int64_t kMaxWidth = std::int64_t{1} << 24;
  const auto width = Member<std::int64_t>(json, "width");
  if (width < 1 || width > kMaxWidth) {
    Fail(ErrorCode::kInvalidFile, "'width': expected 1 to ", kMaxWidth, ", got ", width);
  }
  TensorStatistics result;
  result.column_min_ = FromHex(Member<std::string>(json, "min"), static_cast<std::size_t>(width));
  result.column_max_ = FromHex(Member<std::string>(json, "max"), static_cast<std::size_t>(width));
  for (std::size_t j = 0; j < result.column_min_.size(); ++j) {
    const float min = result.column_min_[j];
    const float max = result.column_max_[j];
    if (!IsFinite(min) || !IsFinite(max) || min > max || std::signbit(min + 0.0F) != std::signbit(min) ||
        std::signbit(max + 0.0F) != std::signbit(max)) {
      Fail(ErrorCode::kInvalidFile, "column ", j, ": expected a minimum and a maximum, got ", min, " and ", max);
    }
  }
  std::uint32_t first = kNumKeys;
  std::uint32_t next = 0;
  std::uint64_t total = 0;
  for (const nlohmann::ordered_json& run : Member<nlohmann::ordered_json>(json, "bins")) {
    const std::vector<std::uint64_t> numbers = Integers(run);
    if (numbers.size() < 2 || numbers[0] < next || numbers[0] >= kNumKeys ||
        numbers.size() - 1 > kNumKeys - numbers[0]) {
      Fail(ErrorCode::kInvalidFile, "'bins': expected runs of counts, ascending and below ", kNumKeys, ", got ",
           run.dump().substr(0, 40));
    }
    next = static_cast<std::uint32_t>(numbers[0]);
    first = std::min(first, next);
    for (auto count = numbers.begin() + 1; count != numbers.end(); ++count, ++next) {
      if (*count == 0 || *count > kMaxCount - total) {
        Fail(ErrorCode::kInvalidFile, "'bins': expected counts of 1 up to ", kMaxCount, " in all, got ", *count);
      }
      total += *count;
      result.groups_[next / kGroupSize][next % kGroupSize] = *count;
    }
  }
  const Range range = result.range();
  if (total == 0 || total % static_cast<std::uint64_t>(width) != 0 || first != KeyOf(range.min) ||
      next != KeyOf(range.max) + 1) {
    Fail(ErrorCode::kInvalidFile, "'bins': expected counts of whole rows between the columns' extremes");
  }
  return result;
}

}  // namespace laconic::quant
