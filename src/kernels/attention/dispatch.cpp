#include "kernels/attention/attention.h"
#include "kernels/attention/scratch.h"
#include "kernels/levels.h"

namespace laconic::kernels {

namespace {

std::int64_t ScalarScratchBytes(std::int64_t keys, std::int64_t /*head_dim*/) noexcept { return RoundUp(keys * 4, 64); }

[[maybe_unused]] std::int64_t VectorScratchBytes(std::int64_t keys, std::int64_t head_dim) noexcept {
  ScratchBytes scratch;
  LayOutVectors(keys, head_dim, kMaxQueryRows, &scratch);
  return scratch.bytes();
}

[[maybe_unused]] std::int64_t PairScratchBytes(std::int64_t keys, std::int64_t head_dim) noexcept {
  ScratchBytes scratch;
  LayOutPairs(keys, head_dim, kMaxQueryRows, &scratch);
  return scratch.bytes();
}

[[maybe_unused]] std::int64_t TileScratchBytes(std::int64_t keys, std::int64_t head_dim) noexcept {
  ScratchBytes scratch;
  LayOutTiles(keys, head_dim, &scratch);
  return scratch.bytes();
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
    {Isa::kAvx512BF16, &PairScratchBytes, &AttentionAvx512BF16},
#if LACONIC_HAVE_AMX
    {Isa::kAmx, &TileScratchBytes, &AttentionAmxBF16},
#endif
  };
  if (isa >= Isa::kAvx512BF16 && precision == Precision::kBF16) {
    return PickLevel(kBFloat16, isa);
  }
#endif
  return PickLevel(kLevels, isa);
}

}  // namespace laconic::kernels
