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

  Column At(std::int64_t j, std::int64_t left) const {
    return {LoadInts(column_sums + j), LoadPart(w_scale + j, left)};
  }
  Vec16 Value(const Column& column, std::int64_t r, std::int64_t j, Vec16 bias) const {
    const Vec16 bracket = Bracket(sums + r * kVecs * kLanes + j, a_zero[r], column.sum);
    return Add(Mul(Mul(bracket, Set1(a_scale[r])), column.scale), bias);
  }
};

template <int kVecs, Activation kActivation, bool kCodes>
[[gnu::noinline]] void WriteSumsAs(const GemmU8S8Args& args, std::int64_t row, std::int64_t rows, std::int64_t column,
                                   const std::int32_t* sums) {
  const std::int64_t left = args.n_end - column;
  const Tile tile = {rows, left < kVecs * kLanes ? left : kVecs * kLanes,
                     args.bias == nullptr ? nullptr : args.bias + column};
  const auto* column_sums = static_cast<const std::int32_t*>(args.packed) + column;
  const S32Sums<kVecs> source = {sums, args.a_zero + row, args.a_scale + row, column_sums, args.w_scale + column};
  if constexpr (kCodes) {
    const float* multiplier = args.q_multiplier == nullptr ? nullptr : args.q_multiplier + column;
    std::uint8_t* q = args.q + row * args.q_stride + column;
    const StaticCodeRows sink = {MakeStaticQuantizer(args.q_scale, args.q_zero, multiplier, tile.columns), multiplier,
                                 q, args.q_stride};
    FinishTile<kVecs, kActivation>(tile, source, sink);
  } else {
    const F32Rows sink = {args.out + row * args.out_stride + column, args.out_stride};
    FinishTile<kVecs, kActivation>(tile, source, sink);
  }
}

// The sums [rows, kVecs * 16] of a tile become outputs, as far as they lie before n_end.
template <int kVecs>
inline void WriteSums(const GemmU8S8Args& args, std::int64_t row, std::int64_t rows, std::int64_t column,
                      const std::int32_t* sums) {
  WithActivation(args.activation, [&]<Activation kActivation>() {
    if (args.q == nullptr) {
      WriteSumsAs<kVecs, kActivation, false>(args, row, rows, column, sums);
    } else {
      WriteSumsAs<kVecs, kActivation, true>(args, row, rows, column, sums);
    }
  });
}

}  // namespace
}  // namespace laconic::kernels
