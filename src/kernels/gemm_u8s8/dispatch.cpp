#include "kernels/gemm_u8s8/avx2_panels.h"
#include "kernels/gemm_u8s8/gemm_u8s8.h"
#include "kernels/gemm_u8s8/pack.h"
#include "kernels/levels.h"

namespace laconic::kernels {

namespace {

// A level's column groups, the sizes of its packed form and its kernel.
template <std::int64_t (*kPanelColumns)(std::int64_t) noexcept, std::int64_t kGroup, std::int64_t kDepth>
constexpr GemmU8S8Kernels Level(Isa isa, void (*run)(const GemmU8S8Args&) noexcept) {
  return {
      isa,
      kPanelColumns,
      [](std::int64_t k, std::int64_t n) noexcept {
        return PackedBytes({kPanelColumns(n), kGroup, kDepth}, k, n);
      },
      [](std::int64_t k, std::int64_t n, const std::int8_t* w, std::int64_t k_stride, std::int64_t n_stride,
         void* packed) noexcept {
        Pack({kPanelColumns(n), kGroup, kDepth}, k, n, w, k_stride, n_stride, packed);
      },
      run,
  };
}

}  // namespace

const GemmU8S8Kernels& GetGemmU8S8(Isa isa) noexcept {
  static constexpr GemmU8S8Kernels kLevels[] = {
    Level<OneColumn, 1, 1>(Isa::kScalar, &GemmU8S8Scalar),
#if LACONIC_HAVE_AVX2
    {Isa::kAvx2, &SixteenColumns, &PackedBytesAvx2, &PackAvx2, &GemmU8S8Avx2},
#endif
#if LACONIC_HAVE_AVX_VNNI
    Level<SixteenColumns, 4, 4>(Isa::kAvxVnni, &GemmU8S8AvxVnni),
#endif
#if LACONIC_HAVE_AVX512_VNNI
    Level<WideColumns, 4, 4>(Isa::kAvx512Vnni, &GemmU8S8Avx512Vnni),
#endif
#if LACONIC_HAVE_AMX
    Level<ThirtyTwoColumns, 4, 64>(Isa::kAmx, &GemmU8S8AmxInt8),
#endif
  };
  return PickLevel(kLevels, isa);
}

const GemmU8S8Kernels& GetSaturatingGemmU8S8() noexcept {
  static constexpr GemmU8S8Kernels kKernels = Level<OneColumn, 1, 1>(Isa::kScalar, &GemmU8S8Saturating);
  return kKernels;
}

}  // namespace laconic::kernels
