// Per-token dynamic quantization of activations to affine u8. The definition is quant/dynamic.h.
#pragma once

#include <cstdint>

#include "kernels/types.h"

namespace laconic::kernels {

inline constexpr float kMinRowScale = 1e-12F;  // what a row of zeros gets

// Shapes:   x [rows, cols] f32; multiplier [cols] f32, or null for none; q [rows, cols] u8; scale, zero_point [rows].
// Strides in elements, >= cols. Numerics: every output equals quant::QuantizeRowU8 bit for bit. A row with a NaN, an
// infinity or a range over the
//           largest f32 gets scale NaN, zero point 0 and codes 0. cols == 0 gives scale 1e-12, zero point 0.
// Threads:  safe on disjoint rows. No byte outside the rows is read or written.
struct QuantizeRowsArgs {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  const float* x = nullptr;
  std::int64_t x_stride = 0;
  const float* multiplier = nullptr;
  std::uint8_t* q = nullptr;
  std::int64_t q_stride = 0;
  float* scale = nullptr;
  std::int32_t* zero_point = nullptr;
};

// Of a row's values, times the multiplier if there is one, and of 0; of others than numbers only that there are some.
struct RowRange {
  float lo = 0;  // <= 0
  float hi = 0;  // >= 0
  bool finite = true;
};

struct QuantizeRowsKernels {
  Isa isa = Isa::kScalar;  // the level of the functions below
  void (*run)(const QuantizeRowsArgs& args) noexcept = nullptr;
  // x [cols]; multiplier [cols] or null.
  RowRange (*find_range)(const float* x, const float* multiplier, std::int64_t cols) noexcept = nullptr;
};

// Precondition: IsaSupported(isa).
const QuantizeRowsKernels& GetQuantizeRows(Isa isa) noexcept;

// Each lives in its own file, compiled with its own flags.
void QuantizeRowsScalar(const QuantizeRowsArgs& args) noexcept;
void QuantizeRowsAvx2(const QuantizeRowsArgs& args) noexcept;
void QuantizeRowsAvx512Vnni(const QuantizeRowsArgs& args) noexcept;
RowRange FindRangeScalar(const float* x, const float* multiplier, std::int64_t cols) noexcept;
RowRange FindRangeAvx2(const float* x, const float* multiplier, std::int64_t cols) noexcept;
RowRange FindRangeAvx512Vnni(const float* x, const float* multiplier, std::int64_t cols) noexcept;

}  // namespace laconic::kernels
