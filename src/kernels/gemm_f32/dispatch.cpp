#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_f32/pack.h"
#include "kernels/levels.h"
#include "kernels/panels.h"

namespace laconic::kernels {

namespace {

template <std::int64_t (*kPanelColumns)(std::int64_t) noexcept>
constexpr GemmF32Kernels Level(Isa isa, void (*run)(const GemmF32Args&) noexcept) {
  return {
      isa,
      kPanelColumns,
      [](std::int64_t k, std::int64_t n, WeightType type) noexcept {
        return PackedBytes(kPanelColumns(n), k, n, type);
      },
      [](std::int64_t k, std::int64_t n, const FloatWeights& weights, void* packed) noexcept {
        Pack(kPanelColumns(n), k, n, weights, packed);
      },
      run,
  };
}

}  // namespace

const GemmF32Kernels& GetGemmF32(Isa isa) noexcept {
  static constexpr GemmF32Kernels kLevels[] = {
    Level<OneColumn>(Isa::kScalar, &GemmF32Scalar),
#if LACONIC_HAVE_AVX2
    Level<SixteenColumns>(Isa::kAvx2, &GemmF32Avx2),
#endif
#if LACONIC_HAVE_AVX512_VNNI
    Level<WideColumns>(Isa::kAvx512Vnni, &GemmF32Avx512Vnni),
#endif
  };
  return PickLevel(kLevels, isa);
}

}  // namespace laconic::kernels
