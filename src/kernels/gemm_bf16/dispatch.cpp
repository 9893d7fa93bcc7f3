#include <algorithm>
#include <cstring>

#include "kernels/gemm_bf16/gemm_bf16.h"
#include "kernels/levels.h"
#include "kernels/panels.h"
#include "kernels/weight_values.h"

namespace laconic::kernels {
namespace {

constexpr std::int64_t TwoColumns(std::int64_t /*n*/) noexcept { return 2; }

// `depth`: what k is rounded up to.
std::int64_t PackedBytes(std::int64_t panel, std::int64_t depth, std::int64_t n) noexcept {
  return RoundUp(RoundUp(n, panel) * depth * 2, 64);
}

void Pack(std::int64_t panel, std::int64_t depth, std::int64_t k, std::int64_t n, const FloatWeights& weights,
          void* packed) noexcept {
  std::memset(packed, 0, static_cast<std::size_t>(PackedBytes(panel, depth, n)));
  auto* out = static_cast<std::uint16_t*>(packed);
  const auto* words = static_cast<const std::uint16_t*>(weights.data);
  for (std::int64_t first = 0; first < n; first += panel) {
    for (std::int64_t j = 0; j < std::min(panel, n - first); ++j) {
      for (std::int64_t p = 0; p < k; ++p) {
        const std::int64_t at = p * weights.k_stride + (first + j) * weights.n_stride;
        out[(p / 2 * panel + j) * 2 + p % 2] = weights.type == WeightType::kBF16
                                                   ? words[at]
                                                   : RoundToBFloat16(WeightValue(weights.data, weights.type, at));
      }
    }
    out += panel * depth;
  }
}

// kDepth: of k, what the kernel takes at a time.
template <std::int64_t (*kPanelColumns)(std::int64_t) noexcept, std::int64_t kDepth>
constexpr GemmBF16Kernels Level(Isa isa, void (*round_rows)(const RoundRowsArgs&) noexcept,
                                void (*run)(const GemmBF16Args&) noexcept) {
  return {
      isa,
      kPanelColumns,
      [](std::int64_t k, std::int64_t n) noexcept { return PackedBytes(kPanelColumns(n), RoundUp(k, kDepth), n); },
      [](std::int64_t k, std::int64_t n, const FloatWeights& weights, void* packed) noexcept {
        Pack(kPanelColumns(n), RoundUp(k, kDepth), k, n, weights, packed);
      },
      round_rows,
      run,
  };
}

}  // namespace

const GemmBF16Kernels& GetGemmBF16(Isa isa) noexcept {
  static constexpr GemmBF16Kernels kLevels[] = {
    Level<TwoColumns, 2>(Isa::kScalar, &RoundRowsScalar, &GemmBF16Scalar),
#if LACONIC_HAVE_AVX512_BF16
    Level<WideColumns, 2>(Isa::kAvx512BF16, &RoundRowsAvx512BF16, &GemmBF16Avx512BF16),
#endif
#if LACONIC_HAVE_AMX
    Level<ThirtyTwoColumns, 32>(Isa::kAmx, &RoundRowsAvx512BF16, &GemmBF16AmxBF16),
#endif
  };
  return PickLevel(kLevels, isa);
}

}  // namespace laconic::kernels
