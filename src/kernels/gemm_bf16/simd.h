// What every vector level of gemm_bf16 does with sums.
#pragma once

#include "kernels/epilogue_simd.h"
#include "kernels/gemm_bf16/gemm_bf16.h"
#include "kernels/panels.h"

namespace laconic::kernels {
namespace {

// FirstLanes for any n.
inline __mmask16 Lanes(std::int64_t n) { return n >= kLanes ? static_cast<__mmask16>(0xFFFF) : FirstLanes(n); }

inline __m256i Round(__m512 x) { return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)); }

// A sink of FinishTile: rows of bfloat16. The 0 after an odd last column is written with it.
struct RoundedRows {
  struct Column {};

  std::uint16_t* out;
  std::int64_t out_stride;

  [[gnu::always_inline]] Column At(std::int64_t /*j*/, std::int64_t /*left*/) const { return {}; }
  [[gnu::always_inline]] void Put(const Column& /*column*/, std::int64_t r, std::int64_t j, std::int64_t left,
                                  Vec16 value) const {
    std::uint16_t* to = out + r * out_stride + j;
    if (left >= kLanes) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), Round(value.v));
    } else {
      _mm256_mask_storeu_epi16(to, Lanes(RoundUp(left, 2)), Round(KeepFirst(value, left).v));
    }
  }
};

template <int kVecs, Activation kActivation>
[[gnu::noinline]] void WriteSumsAs(const GemmBF16Args& args, std::int64_t row, std::int64_t rows, std::int64_t column,
                                   const float* sums) {
  constexpr std::int64_t kColumns = kVecs * kLanes;
  const std::int64_t left = args.n_end - column;
  const Tile tile = {rows, left < kColumns ? left : kColumns, args.bias == nullptr ? nullptr : args.bias + column};
  const std::int64_t out = row * args.out_stride + column;
  if (args.rounded == nullptr) {
    FinishTile<kVecs, kActivation>(tile, F32Sums<kVecs>{sums}, F32Rows{args.out + out, args.out_stride});
  } else {
    FinishTile<kVecs, kActivation>(tile, F32Sums<kVecs>{sums}, RoundedRows{args.rounded + out, args.out_stride});
  }
}

// The sums [rows, kVecs * 16] of a tile become outputs, as far as they lie before n_end.
template <int kVecs>
inline void WriteSums(const GemmBF16Args& args, std::int64_t row, std::int64_t rows, std::int64_t column,
                      const float* sums) {
  WithActivation(args.activation,
                 [&]<Activation kActivation>() { WriteSumsAs<kVecs, kActivation>(args, row, rows, column, sums); });
}

}  // namespace
}  // namespace laconic::kernels
