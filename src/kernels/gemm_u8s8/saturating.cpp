// gemm_u8s8 as x86 without VNNI computes it in other runtimes: to show what its saturation does to answers, not to be
// fast. The packed format is the scalar level's.

#include <algorithm>

#include "kernels/gemm_u8s8/gemm_u8s8.h"
#include "kernels/gemm_u8s8/pack.h"
#include "kernels/gemm_u8s8/scalar_epilogue.h"

namespace laconic::kernels {
namespace {

// vpmaddubsw adds two neighbouring products into s16, saturating; what follows adds into s32.
std::int32_t DotSaturated(std::int64_t k, const std::uint8_t* a, const std::int8_t* w) noexcept {
  std::int32_t sum = 0;
  for (std::int64_t p = 0; p + 1 < k; p += 2) {
    sum += std::clamp(a[p] * w[p] + a[p + 1] * w[p + 1], -32768, 32767);
  }
  return k % 2 == 0 ? sum : sum + a[k - 1] * w[k - 1];
}

}  // namespace

void GemmU8S8Saturating(const GemmU8S8Args& args) noexcept {
  const auto* weights = static_cast<const std::int8_t*>(args.packed) + SumsBytes(args.n, 1);
  for (std::int64_t i = 0; i < args.m; ++i) {
    const std::uint8_t* a = args.a + i * args.a_stride;
    for (std::int64_t j = args.n_begin; j < args.n_end; ++j) {
      WriteSumScalar(args, i, j, DotSaturated(args.k, a, weights + j * args.k));
    }
  }
}

}  // namespace laconic::kernels
