#include "kernels/gemm_u8s8/pack.h"

#include <algorithm>
#include <cstring>

namespace laconic::kernels {

std::int64_t PackedBytes(const PackShape& shape, std::int64_t k, std::int64_t n) noexcept {
  return SumsBytes(n, shape.panel) + RoundUp(RoundUp(n, shape.panel) * RoundUp(k, shape.depth), 64);
}

void Pack(const PackShape& shape, std::int64_t k, std::int64_t n, const std::int8_t* w, std::int64_t k_stride,
          std::int64_t n_stride, void* packed) noexcept {
  std::memset(packed, 0, static_cast<std::size_t>(PackedBytes(shape, k, n)));
  auto* sums = static_cast<std::int32_t*>(packed);
  auto* panels = static_cast<std::int8_t*>(packed) + SumsBytes(n, shape.panel);
  const std::int64_t panel_bytes = shape.panel * RoundUp(k, shape.depth);
  for (std::int64_t j = 0; j < n; ++j) {
    const std::int8_t* column = w + j * n_stride;
    std::int8_t* out = panels + j / shape.panel * panel_bytes + j % shape.panel * shape.group;
    std::int32_t sum = 0;
    for (std::int64_t p = 0; p < k; p += shape.group) {
      const std::int64_t group = std::min(shape.group, k - p);
      for (std::int64_t g = 0; g < group; ++g) {
        out[g] = column[(p + g) * k_stride];
        sum += out[g];
      }
      out += shape.panel * shape.group;
    }
    sums[j] = sum;
  }
}

}  // namespace laconic::kernels
