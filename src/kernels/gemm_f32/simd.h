// gemm_f32 for every vector level.
#pragma once

#include "kernels/epilogue_simd.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/panels.h"
#include "kernels/tile_simd.h"

namespace laconic::kernels {
namespace {

template <int kVecs, typename T>
inline void RunTile(const GemmF32Args& args, std::int64_t row, std::int64_t rows, std::int64_t column) {
  constexpr std::int64_t kPanel = kVecs * kLanes;
  const T* panel = static_cast<const T*>(args.packed) + column * args.k;
  alignas(64) float sums[MaxRows(kVecs) * kPanel];
  TileOfRows<kVecs, T>(rows)(args.k, args.a + row * args.a_stride, args.a_stride, panel, kPanel, sums, kPanel);
  const std::int64_t left = args.n_end - column;
  const OutputTile output = {rows, left < kPanel ? left : kPanel, args.bias == nullptr ? nullptr : args.bias + column,
                             args.out + row * args.out_stride + column, args.out_stride};
  WriteTile(args.activation, output, [&](std::int64_t r, std::int64_t j) { return Load(sums + r * kPanel + j); });
}

template <int kVecs, typename T>
inline void RunPanels(const GemmF32Args& args) {
  ForEachTile(
      args.m, args.k * 4, MaxRows(kVecs), args.n_begin, args.n_end, kVecs * kLanes,
      [&](std::int64_t row, std::int64_t rows, std::int64_t column) { RunTile<kVecs, T>(args, row, rows, column); });
}

template <int kVecs>
inline void RunType(const GemmF32Args& args) {
  switch (args.type) {
    case WeightType::kF16:
      return RunPanels<kVecs, Half>(args);
    case WeightType::kBF16:
      return RunPanels<kVecs, BFloat16>(args);
    default:
      return RunPanels<kVecs, float>(args);
  }
}

inline void RunGemmF32(const GemmF32Args& args) {
  if constexpr (kMaxVecs == 1) {
    return RunType<1>(args);
  } else {
    switch (WideColumns(args.n)) {
      case 16:
        return RunType<1>(args);
      case 48:
        return RunType<3>(args);
      default:
        return RunType<4>(args);
    }
  }
}

}  // namespace
}  // namespace laconic::kernels
