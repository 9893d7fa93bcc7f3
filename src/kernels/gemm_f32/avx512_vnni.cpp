#include "kernels/gemm_f32/simd.h"

namespace laconic::kernels {

void GemmF32Avx512Vnni(const GemmF32Args& args) noexcept { RunGemmF32(args); }

}  // namespace laconic::kernels
