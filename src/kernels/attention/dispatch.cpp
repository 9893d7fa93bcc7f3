#include "kernels/attention/attention.h"
#include "kernels/levels.h"
#include "kernels/panels.h"

namespace laconic::kernels {

namespace {

std::int64_t ScalarScratchBytes(std::int64_t keys, std::int64_t /*head_dim*/) noexcept { return keys * 4; }

}  // namespace

const AttentionKernels& GetAttention(Isa isa) noexcept {
  static constexpr AttentionKernels kLevels[] = {
    {Isa::kScalar, &ScalarScratchBytes, &AttentionScalar},
#if LACONIC_HAVE_AVX2
    {Isa::kAvx2, &AttentionScratchBytes, &AttentionAvx2},
#endif
#if LACONIC_HAVE_AVX512_VNNI
    {Isa::kAvx512Vnni, &AttentionScratchBytes, &AttentionAvx512Vnni},
#endif
  };
  return PickLevel(kLevels, isa);
}

}  // namespace laconic::kernels
