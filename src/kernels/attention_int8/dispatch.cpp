#include "kernels/attention_int8/attention_int8.h"
#include "kernels/attention_int8/scratch.h"
#include "kernels/levels.h"

namespace laconic::kernels {

namespace {

std::int64_t ScalarScratchBytes(std::int64_t keys, std::int64_t /*head_dim*/) noexcept { return RoundUp(keys * 4, 64); }

template <typename Code>
[[maybe_unused]] std::int64_t CodeScratchBytes(std::int64_t keys, std::int64_t head_dim) noexcept {
  ScratchBytes scratch;
  LayOutCodes<Code>(keys, head_dim, kMaxQueryRows, &scratch);
  return scratch.bytes();
}

}  // namespace

const AttentionKernels& GetAttentionInt8(Isa isa) noexcept {
  static constexpr AttentionKernels kLevels[] = {
    {Isa::kScalar, &ScalarScratchBytes, &AttentionInt8Scalar},
#if LACONIC_HAVE_AVX2
    {Isa::kAvx2, &CodeScratchBytes<std::int16_t>, &AttentionInt8Avx2},
#endif
#if LACONIC_HAVE_AVX_VNNI
    {Isa::kAvxVnni, &CodeScratchBytes<std::uint8_t>, &AttentionInt8AvxVnni},
#endif
#if LACONIC_HAVE_AVX512_VNNI
    {Isa::kAvx512Vnni, &CodeScratchBytes<std::uint8_t>, &AttentionInt8Avx512Vnni},
#endif
  };
  return PickLevel(kLevels, isa);
}

}  // namespace laconic::kernels
