#include "kernels/gemm_u8s8/avx2_panels.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace laconic::kernels {

namespace {

constexpr std::int64_t kColumns = 16;
constexpr std::int64_t kGroup = 4;

// Whether sums of two products fit s16: 255 * 128 <= 32767 < 255 * 129, and codes of 0 may leave either sign alone.
bool IsSafe(const std::int8_t (&group)[kColumns][kGroup], const std::int8_t (&order)[kGroup]) noexcept {
  constexpr int kLimit = 128;
  const auto is_safe = [](int w0, int w1) {
    return std::max(w0, 0) + std::max(w1, 0) <= kLimit && std::min(w0, 0) + std::min(w1, 0) >= -kLimit;
  };
  return std::all_of(std::begin(group), std::end(group), [&](const std::int8_t(&column)[kGroup]) {
    return is_safe(column[order[0]], column[order[1]]) && is_safe(column[order[2]], column[order[3]]);
  });
}

// The first pairing in which the group is safe, or kAvx2Pairings.
std::int64_t FindPairing(const std::int8_t (&group)[kColumns][kGroup]) noexcept {
  std::int64_t pairing = 0;
  while (pairing < kAvx2Pairings && !IsSafe(group, kAvx2Order[pairing])) {
    ++pairing;
  }
  return pairing;
}

// [16][4], each column in the order of a pairing.
void WritePaired(const std::int8_t (&group)[kColumns][kGroup], const std::int8_t (&order)[kGroup],
                 std::int8_t* out) noexcept {
  for (const std::int8_t(&column)[kGroup] : group) {
    out = std::transform(std::begin(order), std::end(order), out, [&](std::int8_t i) { return column[i]; });
  }
}

// [16][4] -> [2][16][2].
void WriteByPairs(const std::int8_t (&group)[kColumns][kGroup], std::int8_t* out) noexcept {
  for (std::int64_t pair = 0; pair < 2; ++pair) {
    for (std::int64_t j = 0; j < kColumns; ++j) {
      std::memcpy(out + (pair * kColumns + j) * 2, &group[j][pair * 2], 2);
    }
  }
}

}  // namespace

std::int64_t PackedBytesAvx2(std::int64_t k, std::int64_t n) noexcept {
  return SumsBytes(n, kColumns) + RoundUp(n, kColumns) / kColumns * Avx2PanelBytes(k);
}

void PackAvx2(std::int64_t k, std::int64_t n, const std::int8_t* w, std::int64_t k_stride, std::int64_t n_stride,
              void* packed) noexcept {
  std::memset(packed, 0, static_cast<std::size_t>(PackedBytesAvx2(k, n)));
  auto* sums = static_cast<std::int32_t*>(packed);
  const std::int64_t num_groups = RoundUp(k, kGroup) / kGroup;
  for (std::int64_t column = 0; column < n; column += kColumns) {
    auto* weights = static_cast<std::int8_t*>(packed) + SumsBytes(n, kColumns) + column / kColumns * Avx2PanelBytes(k);
    auto* order = reinterpret_cast<std::uint16_t*>(weights + num_groups * kAvx2GroupBytes);
    std::int64_t num_safe = 0;
    std::int64_t end = num_groups;  // the others, from the last backward
    for (std::int64_t p = 0; p < k; p += kGroup) {
      std::int8_t group[kColumns][kGroup] = {};
      for (std::int64_t j = 0; j < std::min(kColumns, n - column); ++j) {
        for (std::int64_t i = 0; i < std::min(kGroup, k - p); ++i) {
          group[j][i] = w[(p + i) * k_stride + (column + j) * n_stride];
          sums[column + j] += group[j][i];
        }
      }
      const std::int64_t pairing = p + kGroup <= k ? FindPairing(group) : kAvx2Pairings;
      const bool is_safe = pairing < kAvx2Pairings;
      const std::int64_t at = is_safe ? num_safe++ : --end;
      order[at] = static_cast<std::uint16_t>(p / kGroup + (is_safe ? pairing * (k / kGroup) : 0));
      if (is_safe) {
        WritePaired(group, kAvx2Order[pairing], weights + at * kAvx2GroupBytes);
      } else {
        WriteByPairs(group, weights + at * kAvx2GroupBytes);
      }
    }
    order[num_groups] = static_cast<std::uint16_t>(num_safe);
  }
}

}  // namespace laconic::kernels
