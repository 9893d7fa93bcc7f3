// gemm_f32 for every vector level.
#pragma once

#include "kernels/epilogue_simd.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/panels.h"
#include "kernels/tile_simd.h"

namespace laconic::kernels {
namespace {

// A part of a panel of this depth stays in L1 while the rows pass by; the sums wait in `sums`. The chains go on where
// they stopped, so the result does not depend on it.
inline constexpr std::int64_t kDepth = 128;
inline constexpr std::int64_t kChunkRows = 128;  // their part of a stays in L2 while the panels pass by

template <int kVecs, Activation kActivation>
[[gnu::noinline]] void WritePanel(const GemmF32Args& args, std::int64_t first, std::int64_t rows, std::int64_t column,
                                  const float* sums) {
  constexpr std::int64_t kPanel = kVecs * kLanes;
  const std::int64_t left = args.n_end - column;
  const Tile tile = {rows, left < kPanel ? left : kPanel, args.bias == nullptr ? nullptr : args.bias + column};
  FinishTile<kVecs, kActivation>(tile, F32Sums<kVecs>{sums},
                                 F32Rows{args.out + first * args.out_stride + column, args.out_stride});
}

// Rows [first, first + rows) of one panel, rows <= kChunkRows.
template <int kVecs, typename T>
inline void RunPanel(const GemmF32Args& args, std::int64_t first, std::int64_t rows, std::int64_t column) {
  constexpr std::int64_t kPanel = kVecs * kLanes;
  const T* panel = static_cast<const T*>(args.packed) + column * args.k;
  const float* a = args.a + first * args.a_stride;
  alignas(64) float sums[kChunkRows * kPanel];
  for (std::int64_t i = 0; i < rows * kPanel; i += kLanes) {
    Store(sums + i, Set1(0.0F));
  }
  for (std::int64_t p = 0; p < args.k; p += kDepth) {
    const std::int64_t depth = args.k - p < kDepth ? args.k - p : kDepth;
    ForEachRowTile(rows, MaxRows(kVecs), [&](std::int64_t row, std::int64_t count) {
      WithRows<MaxRows(kVecs)>(count, [&]<int kRows>() {
        // The first rows fetch the next part, of this panel or the next, where others follow who have the time.
        const auto multiply = row == 0 && count < rows ? MultiplyTile<kRows, kVecs, T, Start::kGoOn, kDepth * kPanel>
                                                       : MultiplyTile<kRows, kVecs, T, Start::kGoOn>;
        multiply(depth, a + row * args.a_stride + p, args.a_stride, panel + p * kPanel, kPanel, sums + row * kPanel,
                 kPanel);
      });
    });
  }
  WithActivation(args.activation,
                 [&]<Activation kActivation>() { WritePanel<kVecs, kActivation>(args, first, rows, column, sums); });
}

template <int kVecs, typename T>
inline void RunPanels(const GemmF32Args& args) {
  for (std::int64_t first = 0; first < args.m; first += kChunkRows) {
    const std::int64_t rows = args.m - first < kChunkRows ? args.m - first : kChunkRows;
    for (std::int64_t column = args.n_begin; column < args.n_end; column += kVecs * kLanes) {
      RunPanel<kVecs, T>(args, first, rows, column);
    }
  }
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
  WithPanelVecs(args.n, [&]<int kVecs>() { RunType<kVecs>(args); });
}

}  // namespace
}  // namespace laconic::kernels
