#include "kernels/gemm_u8s8/vnni.h"

namespace laconic::kernels {

void GemmU8S8AvxVnni(const GemmU8S8Args& args) noexcept { RunPanels<1>(args); }

}  // namespace laconic::kernels
