// A matrix in memory that somebody else owns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace laconic::quant {

// f32 [rows, cols], row-major without gaps.
struct MatrixView {
  const float* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;

  std::span<const float> row(std::int64_t i) const noexcept {
    return {data + i * cols, static_cast<std::size_t>(cols)};
  }
  std::int64_t size() const noexcept { return rows * cols; }
};

}  // namespace laconic::quant
