#include "kernels/embedding/simd.h"

namespace laconic::kernels {

void EmbeddingAvx512Vnni(const EmbeddingArgs& args) noexcept { Embed(args); }

}  // namespace laconic::kernels
