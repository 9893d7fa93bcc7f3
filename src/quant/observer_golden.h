// What the tests of observers share with tools/quant/make_observer_golden.py: the golden file and the tensors it is
// about.
#pragma once

#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "laconic/qconfig.h"
#include "quant/testing.h"

namespace laconic::quant::testing {

inline nlohmann::json ObserverGolden(const char* part) {
  return ReadJsonFile("src/quant/testdata/observer_golden.json").at(part);
}

inline float FloatOf(const nlohmann::json& bits) { return std::bit_cast<float>(bits.get<std::uint32_t>()); }

inline TensorQConfig ConfigOf(const nlohmann::json& json) {
  return ParseQConfig(nlohmann::json{{"smooth_quant", "off"}, {"activations", json}}.dump()).layers.activations;
}

inline constexpr std::int64_t kBatches = 4;
inline constexpr std::int64_t kBatchSize = 2048;
inline constexpr std::int64_t kCols = 8;

// A tensor of 4 batches [256, 8], each a quarter wider than the one before.
inline std::vector<std::vector<float>> GoldenBatches(const std::string& kind, std::uint32_t seed) {
  Random random(seed);
  std::vector<std::vector<float>> batches;
  for (std::int64_t b = 0; b < kBatches; ++b) {
    const std::vector<float> u = random.Values(4 * kBatchSize);
    std::vector<float>& x = batches.emplace_back(static_cast<std::size_t>(kBatchSize));
    for (std::size_t i = 0; i < x.size(); ++i) {
      const float normal = (u[4 * i] + u[4 * i + 1]) + (u[4 * i + 2] + u[4 * i + 3]);
      const float cube = u[4 * i] * u[4 * i] * u[4 * i];
      x[i] = kind == "heavy"      ? cube * cube * cube * 50.0F
             : kind == "positive" ? std::abs(normal)
             : kind == "zero"     ? 0.0F
             : kind == "constant" ? 0.7F
             : kind == "tiny"     ? normal * 1e-30F
                                  : normal;
      x[i] *= kind == "constant" ? 1.0F : 1.0F + 0.25F * static_cast<float>(b);
    }
    if (kind == "outlier" && b == 2) {
      x[77] = 20.0F;
    }
  }
  return batches;
}

}  // namespace laconic::quant::testing
