#include "kernels/gemm_f32/pack.h"

#include <algorithm>
#include <cstring>

#include "kernels/panels.h"
#include "kernels/weight_values.h"

namespace laconic::kernels {

namespace {

// T is a word of the weights' width.
template <typename T>
void PackWords(std::int64_t panel, std::int64_t k, std::int64_t n, const FloatWeights& weights, T* packed) noexcept {
  const auto* w = static_cast<const T*>(weights.data);
  for (std::int64_t first = 0; first < n; first += panel) {
    const std::int64_t columns = std::min(panel, n - first);
    for (std::int64_t p = 0; p < k; ++p) {
      for (std::int64_t j = 0; j < columns; ++j) {
        packed[j] = w[p * weights.k_stride + (first + j) * weights.n_stride];
      }
      packed += panel;
    }
  }
}

}  // namespace

std::int64_t PackedBytes(std::int64_t panel, std::int64_t k, std::int64_t n, WeightType type) noexcept {
  return RoundUp(RoundUp(n, panel) * k * WeightBytes(type), 64);
}

void Pack(std::int64_t panel, std::int64_t k, std::int64_t n, const FloatWeights& weights, void* packed) noexcept {
  std::memset(packed, 0, static_cast<std::size_t>(PackedBytes(panel, k, n, weights.type)));
  if (weights.type == WeightType::kF32) {
    PackWords(panel, k, n, weights, static_cast<std::uint32_t*>(packed));
  } else {
    PackWords(panel, k, n, weights, static_cast<std::uint16_t*>(packed));
  }
}

}  // namespace laconic::kernels
