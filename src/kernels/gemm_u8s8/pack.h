// The packed weights of gemm_u8s8, one format with a few sizes (but avx2's, avx2_panels.h):
//   s32 sums[columns], padded to 64 bytes; then, for each panel of P columns, s8 [depth / G][P][G]
// with `columns` = n rounded up to P and `depth` = k rounded up to D, the padding zero. G codes of consecutive k lie
// side by side because vpdpbusd and AMX take 4 at a time.
#pragma once

#include <cstdint>

#include "kernels/panels.h"

namespace laconic::kernels {

struct PackShape {
  std::int64_t panel = 1;  // P
  std::int64_t group = 1;  // G
  std::int64_t depth = 1;  // D, a multiple of G
};

namespace {

constexpr std::int64_t SumsBytes(std::int64_t n, std::int64_t panel) noexcept {
  return RoundUp(RoundUp(n, panel) * 4, 64);
}

}  // namespace

std::int64_t PackedBytes(const PackShape& shape, std::int64_t k, std::int64_t n) noexcept;
void Pack(const PackShape& shape, std::int64_t k, std::int64_t n, const std::int8_t* w, std::int64_t k_stride,
          std::int64_t n_stride, void* packed) noexcept;

}  // namespace laconic::kernels
