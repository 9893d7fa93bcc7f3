#include "kernels/gemm_u8s8/gemm_u8s8.h"
#include "kernels/gemm_u8s8/pack.h"
#include "kernels/gemm_u8s8/scalar_epilogue.h"

namespace laconic::kernels {

void GemmU8S8Scalar(const GemmU8S8Args& args) noexcept {
  const auto* weights = static_cast<const std::int8_t*>(args.packed) + SumsBytes(args.n, 1);
  for (std::int64_t i = 0; i < args.m; ++i) {
    const std::uint8_t* a = args.a + i * args.a_stride;
    for (std::int64_t j = args.n_begin; j < args.n_end; ++j) {
      const std::int8_t* w = weights + j * args.k;
      std::int32_t sum = 0;
      for (std::int64_t p = 0; p < args.k; ++p) {
        sum += a[p] * w[p];
      }
      WriteSumScalar(args, i, j, sum);
    }
  }
}

}  // namespace laconic::kernels
