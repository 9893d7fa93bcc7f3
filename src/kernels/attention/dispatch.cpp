#include "kernels/attention/attention.h"
#include "kernels/levels.h"
#include "kernels/panels.h"

namespace laconic::kernels {

namespace {

std::int64_t ScalarScratchBytes(std::int64_t keys, std::int64_t /*head_dim*/) noexcept { return RoundUp(keys * 4, 64); }

// The parts that attention/simd.h splits it into: K transposed, V, scores and sums of a tile of query rows.
[[maybe_unused]] std::int64_t VectorScratchBytes(std::int64_t keys, std::int64_t head_dim) noexcept {
  const std::int64_t keys_padded = RoundUp(keys, 16);
  const std::int64_t dim_padded = RoundUp(head_dim, 16);
  return 4 * (head_dim * keys_padded + keys * dim_padded + kMaxQueryRows * (keys_padded + dim_padded));
}

// The parts that attention/avx512_bf16.cpp splits it into, likewise.
[[maybe_unused]] std::int64_t BFloat16ScratchBytes(std::int64_t keys, std::int64_t head_dim) noexcept {
  const std::int64_t keys_padded = RoundUp(keys, 16);
  const std::int64_t dim_padded = RoundUp(head_dim, 32);
  return 2 * RoundUp(head_dim, 2) * keys_padded + 2 * RoundUp(keys, 2) * dim_padded +
         kMaxQueryRows * (4 * keys_padded + 2 * RoundUp(keys, 32) + 2 * dim_padded);
}

// The tiles that attention/amx_bf16.cpp splits it into.
[[maybe_unused]] std::int64_t BFloat16TilesScratchBytes(std::int64_t keys, std::int64_t head_dim) noexcept {
  constexpr std::int64_t kTileBytes = 1024;
  const std::int64_t dim_steps = RoundUp(head_dim, 32) / 32;
  const std::int64_t key_tiles = RoundUp(keys, 16) / 16;
  const std::int64_t key_steps = RoundUp(keys, 32) / 32;
  return kTileBytes * (dim_steps * (key_tiles + 2 * key_steps + 5) + key_steps + 2 * key_tiles);
}

}  // namespace

const AttentionKernels& GetAttention(Isa isa, [[maybe_unused]] Precision precision) noexcept {
  static constexpr AttentionKernels kLevels[] = {
    {Isa::kScalar, &ScalarScratchBytes, &AttentionScalar},
#if LACONIC_HAVE_AVX2
    {Isa::kAvx2, &VectorScratchBytes, &AttentionAvx2},
#endif
#if LACONIC_HAVE_AVX512_VNNI
    {Isa::kAvx512Vnni, &VectorScratchBytes, &AttentionAvx512Vnni},
#endif
  };
#if LACONIC_HAVE_AVX512_BF16
  static constexpr AttentionKernels kBFloat16[] = {
    {Isa::kAvx512BF16, &BFloat16ScratchBytes, &AttentionAvx512BF16},
#if LACONIC_HAVE_AMX
    {Isa::kAmx, &BFloat16TilesScratchBytes, &AttentionAmxBF16},
#endif
  };
  if (isa >= Isa::kAvx512BF16 && precision == Precision::kBF16) {
    return PickLevel(kBFloat16, isa);
  }
#endif
  return PickLevel(kLevels, isa);
}

}  // namespace laconic::kernels
