// What the tests of this folder share with tools/quant/make_weights_golden.py.
#pragma once

#include <cstdint>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "quant/matrix.h"

namespace laconic::quant::testing {

inline nlohmann::json Golden(const char* part) {
  return ReadJsonFile("src/quant/testdata/weights_golden.json").at(part);
}

// The golden script's generator: multiples of 2^-23 in [-1, 1).
class Random {
 public:
  explicit Random(std::uint32_t seed) : state_(seed) {}
  std::vector<float> Values(std::int64_t count) {
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values) {
      state_ = state_ * 1664525U + 1013904223U;
      value = static_cast<float>(state_ >> 8) * 0x1p-23F - 1.0F;
    }
    return values;
  }

 private:
  std::uint32_t state_;
};

inline MatrixView AsMatrix(const std::vector<float>& values, std::int64_t cols) {
  return {values.data(), static_cast<std::int64_t>(values.size()) / cols, cols};
}

}  // namespace laconic::quant::testing
