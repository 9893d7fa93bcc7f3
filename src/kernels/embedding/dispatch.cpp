#include "kernels/embedding/embedding.h"
#include "kernels/levels.h"

namespace laconic::kernels {

const EmbeddingKernels& GetEmbedding(Isa isa) noexcept {
  static constexpr EmbeddingKernels kLevels[] = {
    {Isa::kScalar, &EmbeddingScalar},
#if LACONIC_HAVE_AVX2
    {Isa::kAvx2, &EmbeddingAvx2},
#endif
#if LACONIC_HAVE_AVX512_VNNI
    {Isa::kAvx512Vnni, &EmbeddingAvx512Vnni},
#endif
  };
  return PickLevel(kLevels, isa);
}

}  // namespace laconic::kernels
