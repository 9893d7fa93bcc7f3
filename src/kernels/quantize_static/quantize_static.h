// Static quantization of activations to u8: one scale and zero point for all rows. The definition is quant/static.h.
#pragma once

#include <cstdint>

#include "kernels/types.h"

namespace laconic::kernels {

// Shapes:   x [rows, cols] f32; multiplier [cols] f32, or null for none; q [rows, cols] u8; row_scale, row_zero [rows].
//           Strides in elements, >= cols.
// Numerics: q, row_scale, row_zero equal quant::QuantizeRowStatic bit for bit. zero_point is that of u8, 0..255.
// Threads:  safe on disjoint rows. No byte outside the rows is read or written.
struct QuantizeStaticArgs {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  const float* x = nullptr;
  std::int64_t x_stride = 0;
  const float* multiplier = nullptr;
  float scale = 1;
  std::int32_t zero_point = 0;
  std::uint8_t* q = nullptr;
  std::int64_t q_stride = 0;
  float* row_scale = nullptr;
  std::int32_t* row_zero = nullptr;
};

struct QuantizeStaticKernels {
  Isa isa = Isa::kScalar;  // the level of the functions below
  void (*run)(const QuantizeStaticArgs& args) noexcept = nullptr;
};

// Precondition: IsaSupported(isa).
const QuantizeStaticKernels& GetQuantizeStatic(Isa isa) noexcept;

// The code of one value, 0 for NaN.
std::uint8_t StaticCodeScalar(float value, float scale, std::int32_t zero_point) noexcept;

// Each lives in its own file, compiled with its own flags.
void QuantizeStaticScalar(const QuantizeStaticArgs& args) noexcept;
void QuantizeStaticAvx2(const QuantizeStaticArgs& args) noexcept;
void QuantizeStaticAvx512Vnni(const QuantizeStaticArgs& args) noexcept;

}  // namespace laconic::kernels
