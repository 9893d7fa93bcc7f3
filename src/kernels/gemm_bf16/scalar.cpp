#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/elementwise/elementwise.h"
#include "kernels/gemm_bf16/gemm_bf16.h"
#include "kernels/weight_values.h"

namespace laconic::kernels {
namespace {

constexpr std::int64_t kPanel = 2;  // as GetGemmBF16 says

float FlushSubnormal(float x) { return std::fabs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0F, x) : x; }

float ValueAt(const void* words, std::int64_t index) {
  return FlushSubnormal(WeightValue(words, WeightType::kBF16, index));
}

// The sum over one row and one column of a panel [k / 2][kPanel][2].
float DotProduct(const GemmBF16Args& args, const std::uint16_t* a, std::int64_t column) {
  const auto* panel = static_cast<const std::uint16_t*>(args.packed) + column / kPanel * kPanel * (args.k + args.k % 2);
  float sum = 0;
  for (std::int64_t p = 0; p < args.k; p += 2) {
    const std::uint16_t* pair = panel + (p / 2 * kPanel + column % kPanel) * 2;
    for (const std::int64_t i : {1, 0}) {
      sum = FlushSubnormal(std::fma(ValueAt(a, p + i), ValueAt(pair, i), sum));
    }
  }
  return sum;
}

}  // namespace

void RoundRowsScalar(const RoundRowsArgs& args) noexcept {
  for (std::int64_t i = 0; i < args.rows; ++i) {
    const float* x = args.x + i * args.x_stride;
    std::uint16_t* out = args.out + i * args.out_stride;
    std::transform(x, x + args.cols, out, RoundToBFloat16);
    if (args.cols % 2 != 0) {
      out[args.cols] = 0;
    }
  }
}

void GemmBF16Scalar(const GemmBF16Args& args) noexcept {
  for (std::int64_t i = 0; i < args.m; ++i) {
    for (std::int64_t j = args.n_begin; j < args.n_end; ++j) {
      float value = DotProduct(args, args.a + i * args.a_stride, j);
      value = args.bias == nullptr ? value : value + args.bias[j];
      ActivateScalar(args.activation, 1, &value, &value);
      if (args.rounded == nullptr) {
        args.out[i * args.out_stride + j] = value;
      } else {
        args.rounded[i * args.out_stride + j] = RoundToBFloat16(value);
      }
    }
    if (args.rounded != nullptr && args.n_end == args.n && args.n % 2 != 0) {
      args.rounded[i * args.out_stride + args.n] = 0;
    }
  }
}

}  // namespace laconic::kernels
