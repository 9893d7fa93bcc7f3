#include "kernels/attention_int8/attention_int8.h"
#include "kernels/levels.h"
#include "kernels/panels.h"

namespace laconic::kernels {

namespace {

std::int64_t ScalarScratchBytes(std::int64_t keys, std::int64_t /*head_dim*/) noexcept { return RoundUp(keys * 4, 64); }

// The parts that attention_int8/simd.h splits it into, where a word holds `group` codes.
template <std::int64_t kGroup>
[[maybe_unused]] std::int64_t VectorScratchBytes(std::int64_t keys, std::int64_t head_dim) noexcept {
  const std::int64_t keys_padded = RoundUp(keys, 16);
  const std::int64_t dim_padded = RoundUp(head_dim, 16);
  const std::int64_t row_words = RoundUp(dim_padded, 8 * kGroup) / kGroup;
  const std::int64_t value_words = RoundUp(keys, kGroup) / kGroup;
  return 4 * ((row_words + 3 + kMaxQueryRows) * keys_padded + (value_words + 1) * dim_padded +
              kMaxQueryRows * (keys_padded / kGroup + 2 * row_words));
}

}  // namespace

const AttentionKernels& GetAttentionInt8(Isa isa) noexcept {
  static constexpr AttentionKernels kLevels[] = {
    {Isa::kScalar, &ScalarScratchBytes, &AttentionInt8Scalar},
#if LACONIC_HAVE_AVX2
    {Isa::kAvx2, &VectorScratchBytes<2>, &AttentionInt8Avx2},
#endif
#if LACONIC_HAVE_AVX_VNNI
    {Isa::kAvxVnni, &VectorScratchBytes<4>, &AttentionInt8AvxVnni},
#endif
#if LACONIC_HAVE_AVX512_VNNI
    {Isa::kAvx512Vnni, &VectorScratchBytes<4>, &AttentionInt8Avx512Vnni},
#endif
  };
  return PickLevel(kLevels, isa);
}

}  // namespace laconic::kernels
