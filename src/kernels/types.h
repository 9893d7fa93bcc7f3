// What the kernel families share in their arguments. Included by files of every ISA: <cstdint> only.
#pragma once

#include <cstdint>

namespace laconic::kernels {

// The instruction set levels, in order: a level includes those before it, but avx_vnni, which is for CPUs without
// AVX-512. A family that has no file for a level uses the level below.
enum class Isa : std::uint8_t {
  kScalar,      // baseline x86-64 (or any other CPU): the readable definition
  kAvx2,        // avx2 + fma + f16c
  kAvxVnni,     // avx2 and vpdpbusd on 256 bits: Intel since Alder Lake, AMD since Zen 5
  kAvx512Vnni,  // avx2 and avx512 f, bw, dq, vl, vnni
  kAvx512BF16,  // the above and avx512_bf16, of use to Precision::kBF16 alone
  kAmx,         // the above and AMX tiles with INT8 and BF16 products, which the system must grant too
};

// Element type of stored weights and embedding tables. f16 and bf16 are IEEE binary16 and bfloat16 as 16-bit words.
enum class WeightType : std::uint8_t { kF32, kF16, kBF16, kS8 };

// Weights of a linear layer as the caller has them; w[k, j] lies at element k * k_stride + j * n_stride of `data`.
struct FloatWeights {
  const void* data = nullptr;
  WeightType type = WeightType::kF32;  // kF32, kF16 or kBF16
  std::int64_t k_stride = 0;
  std::int64_t n_stride = 0;
};

// What the operands of products that are not integers are rounded to. kBF16 needs level kAvx512BF16.
enum class Precision : std::uint8_t { kF32, kBF16 };

// y = f(x), element by element.
enum class Activation : std::uint8_t {
  kNone,
  kGeluErf,   // x/2 * (1 + erf(x / sqrt 2))
  kGeluTanh,  // x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))
  kRelu,
  kTanh,
};

}  // namespace laconic::kernels
