// gemm_u8s8 for every vector level, but for the integer tile, which each level has its own.
#pragma once

#include "kernels/epilogue_simd.h"
#include "kernels/gemm_u8s8/gemm_u8s8.h"
#include "kernels/gemm_u8s8/pack.h"

namespace laconic::kernels {
namespace {

// The integer sums of a tile (row stride tile_stride) become outputs.
inline void WriteSums(const GemmU8S8Args& args, std::int64_t row, std::int64_t rows, std::int64_t column,
                      std::int64_t columns, const std::int32_t* sums, std::int64_t sums_stride) {
  const auto* column_sums = static_cast<const std::int32_t*>(args.packed) + column;
  const float* w_scale = args.w_scale + column;
  const Tile tile = {rows, columns, args.bias == nullptr ? nullptr : args.bias + column};
  const auto values = [&](std::int64_t j, std::int64_t left) {
    const Ints16 totals = LoadInts(column_sums + j);
    const Vec16 scale = LoadPart(w_scale + j, left);
    return [&, j, totals, scale](std::int64_t r) {
      const Vec16 bracket = Bracket(sums + r * sums_stride + j, args.a_zero[row + r], totals);
      return Mul(Mul(bracket, Set1(args.a_scale[row + r])), scale);
    };
  };
  if (args.q == nullptr) {
    WriteTile(args.activation, {tile, args.out + row * args.out_stride + column, args.out_stride}, values);
  } else {
    const float* multiplier = args.q_multiplier == nullptr ? nullptr : args.q_multiplier + column;
    std::uint8_t* q = args.q + row * args.q_stride + column;
    WriteTileCodes(args.activation, {tile, multiplier, args.q_scale, args.q_zero, q, args.q_stride}, values);
  }
}

}  // namespace
}  // namespace laconic::kernels
