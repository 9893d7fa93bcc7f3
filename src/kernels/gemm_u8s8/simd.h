// gemm_u8s8 for every vector level, but for the integer tile, which each level has its own.
#pragma once

#include "kernels/epilogue_simd.h"
#include "kernels/gemm_u8s8/gemm_u8s8.h"
#include "kernels/gemm_u8s8/pack.h"

namespace laconic::kernels {
namespace {

// A source of FinishTile: s32 sums [rows, kVecs * 16]. The pointers are the tile's own.
template <int kVecs>
struct S32Sums {
  struct Column {
    Ints16 sum;
    Vec16 scale;
  };

  const std::int32_t* sums;
  const std::int32_t* a_zero;
  const float* a_scale;
  const std::int32_t* column_sums;
  const float* w_scale;

  [[gnu::always_inline]] Column At(std::int64_t j, std::int64_t left) const {
    return {LoadInts(column_sums + j), LoadPart(w_scale + j, left)};
  }
  [[gnu::always_inline]] Vec16 Value(const Column& column, std::int64_t r, std::int64_t j, Vec16 bias) const {
    const Vec16 bracket = Difference(LoadInts(sums + r * kVecs * kLanes + j), Multiply(column.sum, a_zero[r]));
    return Add(Mul(Mul(bracket, Set1(a_scale[r])), column.scale), bias);
  }
};

// The same of rows with one scale and one zero point.
template <int kVecs>
struct StaticS32Sums {
  struct Column {
    Ints16 correction;
    Vec16 scale;
  };

  const std::int32_t* sums;
  std::int32_t a_zero;
  float a_scale;
  const std::int32_t* column_sums;
  const float* w_scale;

  [[gnu::always_inline]] Column At(std::int64_t j, std::int64_t left) const {
    return {Multiply(LoadInts(column_sums + j), a_zero), Mul(Set1(a_scale), LoadPart(w_scale + j, left))};
  }
  [[gnu::always_inline]] Vec16 Value(const Column& column, std::int64_t r, std::int64_t j, Vec16 bias) const {
    const Vec16 bracket = Difference(LoadInts(sums + r * kVecs * kLanes + j), column.correction);
    return Add(Mul(bracket, column.scale), bias);
  }
};

template <int kVecs, Activation kActivation, typename Source>
[[gnu::always_inline]] inline void WriteTile(const GemmU8S8Args& args, std::int64_t row, std::int64_t column,
                                             const Tile& tile, const Source& source) {
  if (args.q == nullptr) {
    const F32Rows sink = {args.out + row * args.out_stride + column, args.out_stride};
    return FinishTile<kVecs, kActivation>(tile, source, sink);
  }
  const float* multiplier = args.q_multiplier == nullptr ? nullptr : args.q_multiplier + column;
  const StaticCodeRows sink = {MakeStaticQuantizer(args.q_scale, args.q_zero, multiplier, tile.columns), multiplier,
                               args.q + row * args.q_stride + column, args.q_stride};
  FinishTile<kVecs, kActivation>(tile, source, sink);
}

inline Tile TileOf(const GemmU8S8Args& args, std::int64_t rows, std::int64_t column, std::int64_t max_columns) {
  const std::int64_t left = args.n_end - column;
  return {rows, left < max_columns ? left : max_columns, args.bias == nullptr ? nullptr : args.bias + column};
}

template <int kVecs, Activation kActivation>
[[gnu::noinline]] void WriteSumsAs(const GemmU8S8Args& args, std::int64_t row, std::int64_t rows, std::int64_t column,
                                   const std::int32_t* sums) {
  const auto* column_sums = static_cast<const std::int32_t*>(args.packed) + column;
  WriteTile<kVecs, kActivation>(
      args, row, column, TileOf(args, rows, column, kVecs * kLanes),
      S32Sums<kVecs>{sums, args.a_zero + row, args.a_scale + row, column_sums, args.w_scale + column});
}

template <int kVecs, Activation kActivation>
[[gnu::noinline]] void WriteStaticSumsAs(const GemmU8S8Args& args, std::int64_t row, std::int64_t rows,
                                         std::int64_t column, const std::int32_t* sums) {
  const Tile tile = TileOf(args, rows, column, kVecs * kLanes);
  const auto* column_sums = static_cast<const std::int32_t*>(args.packed) + column;
  WriteTile<kVecs, kActivation>(
      args, row, column, tile,
      StaticS32Sums<kVecs>{sums, args.a_static_zero, args.a_static_scale, column_sums, args.w_scale + column});
  for (std::int64_t r = row; args.q == nullptr && r < row + rows; ++r) {
    for (std::int64_t j = 0; args.a_scale[r] != args.a_scale[r] && j < tile.columns; ++j) {
      args.out[r * args.out_stride + column + j] = args.a_scale[r];
    }
  }
}

// The sums [rows, kVecs * 16] of a tile become outputs, as far as they lie before n_end.
template <int kVecs>
inline void WriteSums(const GemmU8S8Args& args, std::int64_t row, std::int64_t rows, std::int64_t column,
                      const std::int32_t* sums) {
  WithActivation(args.activation, [&]<Activation kActivation>() {
    if (args.a_is_static) {
      WriteStaticSumsAs<kVecs, kActivation>(args, row, rows, column, sums);
    } else {
      WriteSumsAs<kVecs, kActivation>(args, row, rows, column, sums);
    }
  });
}

}  // namespace
}  // namespace laconic::kernels
