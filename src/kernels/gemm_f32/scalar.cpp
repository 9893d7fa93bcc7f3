#include "kernels/elementwise/elementwise.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/weight_values.h"

namespace laconic::kernels {

void GemmF32Scalar(const GemmF32Args& args) noexcept {
  for (std::int64_t i = 0; i < args.m; ++i) {
    const float* a = args.a + i * args.a_stride;
    float* out = args.out + i * args.out_stride;
    for (std::int64_t j = args.n_begin; j < args.n_end; ++j) {
      float sum = 0;
      for (std::int64_t p = 0; p < args.k; ++p) {
        sum += a[p] * WeightValue(args.packed, args.type, j * args.k + p);
      }
      out[j] = args.bias == nullptr ? sum : sum + args.bias[j];
    }
    ActivateScalar(args.activation, args.n_end - args.n_begin, out + args.n_begin, out + args.n_begin);
  }
}

}  // namespace laconic::kernels
