// What the scalar levels do with a finished sum.
#pragma once

#include <cmath>

#include "kernels/elementwise/elementwise.h"
#include "kernels/gemm_u8s8/gemm_u8s8.h"
#include "kernels/quantize_static/quantize_static.h"

namespace laconic::kernels {

inline void WriteSumScalar(const GemmU8S8Args& args, std::int64_t i, std::int64_t j, std::int32_t sum) noexcept {
  const std::int32_t column_sum = static_cast<const std::int32_t*>(args.packed)[j];
  const bool is_static = args.a_is_static && !std::isnan(args.a_scale[i]);
  // Sums from a file that was tampered with may be any: as the vector levels, modulo 2^32.
  const auto zero_point = static_cast<std::uint32_t>(is_static ? args.a_static_zero : args.a_zero[i]);
  const std::uint32_t correction = zero_point * static_cast<std::uint32_t>(column_sum);
  const auto bracket = static_cast<float>(static_cast<std::int32_t>(static_cast<std::uint32_t>(sum) - correction));
  float value =
      is_static ? bracket * (args.a_static_scale * args.w_scale[j]) : bracket * args.a_scale[i] * args.w_scale[j];
  value = args.bias == nullptr ? value : value + args.bias[j];
  ActivateScalar(args.activation, 1, &value, &value);
  if (args.q == nullptr) {
    args.out[i * args.out_stride + j] = value;
  } else {
    value = args.q_multiplier == nullptr ? value : value * args.q_multiplier[j];
    args.q[i * args.q_stride + j] = StaticCodeScalar(value, args.q_scale, args.q_zero);
  }
}

}  // namespace laconic::kernels
