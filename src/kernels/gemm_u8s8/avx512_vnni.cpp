#include "kernels/gemm_u8s8/vnni.h"

namespace laconic::kernels {

void GemmU8S8Avx512Vnni(const GemmU8S8Args& args) noexcept {
  switch (WideColumns(args.n)) {
    case 16:
      return RunPanels<1>(args);
    case 48:
      return RunPanels<3>(args);
    default:
      return RunPanels<4>(args);
  }
}

}  // namespace laconic::kernels
