#include "kernels/embedding/simd.h"

namespace laconic::kernels {

void EmbeddingAvx2(const EmbeddingArgs& args) noexcept { Embed(args); }

}  // namespace laconic::kernels
