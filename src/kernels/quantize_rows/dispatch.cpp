#include "kernels/levels.h"
#include "kernels/quantize_rows/quantize_rows.h"

namespace laconic::kernels {

const QuantizeRowsKernels& GetQuantizeRows(Isa isa) noexcept {
  static constexpr QuantizeRowsKernels kLevels[] = {
    {Isa::kScalar, &QuantizeRowsScalar, &FindRangeScalar},
#if LACONIC_HAVE_AVX2
    {Isa::kAvx2, &QuantizeRowsAvx2, &FindRangeAvx2},
#endif
#if LACONIC_HAVE_AVX512_VNNI
    {Isa::kAvx512Vnni, &QuantizeRowsAvx512Vnni, &FindRangeAvx512Vnni},
#endif
  };
  return PickLevel(kLevels, isa);
}

}  // namespace laconic::kernels
