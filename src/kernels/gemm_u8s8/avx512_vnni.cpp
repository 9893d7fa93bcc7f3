#include "kernels/gemm_u8s8/vnni.h"

namespace laconic::kernels {

void GemmU8S8Avx512Vnni(const GemmU8S8Args& args) noexcept {
  WithPanelVecs(args.n, [&]<int kVecs>() { RunPanels<kVecs>(args); });
}

}  // namespace laconic::kernels
