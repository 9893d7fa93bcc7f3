#include "kernels/elementwise/elementwise.h"
#include "kernels/gemm_u8s8/gemm_u8s8.h"
#include "kernels/gemm_u8s8/pack.h"

namespace laconic::kernels {

void GemmU8S8Scalar(const GemmU8S8Args& args) noexcept {
  const auto* sums = static_cast<const std::int32_t*>(args.packed);
  const auto* weights = static_cast<const std::int8_t*>(args.packed) + SumsBytes(args.n, 1);
  for (std::int64_t i = 0; i < args.m; ++i) {
    const std::uint8_t* a = args.a + i * args.a_stride;
    float* out = args.out + i * args.out_stride;
    for (std::int64_t j = args.n_begin; j < args.n_end; ++j) {
      const std::int8_t* w = weights + j * args.k;
      std::int32_t sum = 0;
      for (std::int64_t p = 0; p < args.k; ++p) {
        sum += a[p] * w[p];
      }
      const auto bracket = static_cast<float>(sum - args.a_zero[i] * sums[j]);
      const float scaled = bracket * args.a_scale[i] * args.w_scale[j];
      out[j] = args.bias == nullptr ? scaled : scaled + args.bias[j];
    }
    ActivateScalar(args.activation, args.n_end - args.n_begin, out + args.n_begin, out + args.n_begin);
  }
}

}  // namespace laconic::kernels
