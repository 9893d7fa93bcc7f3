// The packed weights of gemm_u8s8 at the avx2 level: s32 sums[columns], padded to 64 bytes; then, for each panel of 16
// columns, s8 weights[groups][64], u16 order[groups], u16 num_joint, u16 num_safe, padded to 64 bytes.
#pragma once

#include <cstdint>

#include "kernels/gemm_u8s8/pack.h"

namespace laconic::kernels {

// The weights of 16 columns in groups of 4 consecutive k, the last one padded with zeros. First come the safe groups,
// as [16][4]: all of their k exist, and in one of the orders of kAvx2Order, whatever the codes, no sum of the first
// two products or of the last two passes s16. Of these the first num_joint are safe in twos: nor does the sum of two
// such sums, one of each group. Then the others, as [2][16][2].
struct Avx2Panel {
  const std::int8_t* weights;  // [num_groups][64]
  const std::uint16_t* order;  // [num_groups]: the k / 4 of each; of a safe one, num_whole times its pairing more
  std::int64_t num_joint;      // <= num_safe, even
  std::int64_t num_safe;       // <= num_whole
  std::int64_t num_whole;      // groups without padding
  std::int64_t num_groups;
};

inline constexpr std::int64_t kAvx2GroupBytes = 64;

namespace {

// The three ways to pair the 4 k of a group: their order in it.
constexpr std::int64_t kAvx2Pairings = 3;
constexpr std::int8_t kAvx2Order[kAvx2Pairings][4] = {{0, 1, 2, 3}, {0, 2, 1, 3}, {0, 3, 1, 2}};

constexpr std::int64_t Avx2PanelBytes(std::int64_t k) noexcept {
  return RoundUp(RoundUp(k, 4) / 4 * (kAvx2GroupBytes + 2) + 4, 64);
}

// The panel of columns [column, column + 16). What a file of packed weights says is not believed where it would lead
// out of a row.
inline Avx2Panel PanelAt(const void* packed, std::int64_t k, std::int64_t n, std::int64_t column) noexcept {
  const std::int8_t* weights =
      static_cast<const std::int8_t*>(packed) + SumsBytes(n, 16) + column / 16 * Avx2PanelBytes(k);
  const std::int64_t num_groups = RoundUp(k, 4) / 4;
  const auto* order = reinterpret_cast<const std::uint16_t*>(weights + num_groups * kAvx2GroupBytes);
  const std::int64_t num_whole = k / 4;
  const std::int64_t num_safe = order[num_groups + 1] < num_whole ? order[num_groups + 1] : num_whole;
  const std::int64_t num_joint = order[num_groups] < num_safe ? order[num_groups] : num_safe;
  return {weights, order, num_joint / 2 * 2, num_safe, num_whole, num_groups};
}

// Where the codes of the panel's group i start, one of `limit` groups.
inline std::int64_t FirstOfGroup(const Avx2Panel& panel, std::int64_t i, std::int64_t limit) noexcept {
  const std::int64_t group = panel.order[i];
  return 4 * (group < limit ? group : limit - 1);
}

}  // namespace

std::int64_t PackedBytesAvx2(std::int64_t k, std::int64_t n) noexcept;
void PackAvx2(std::int64_t k, std::int64_t n, const std::int8_t* w, std::int64_t k_stride, std::int64_t n_stride,
              void* packed) noexcept;

}  // namespace laconic::kernels
