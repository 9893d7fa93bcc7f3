// AVX-VNNI: vpdpbusd on 256 bits without AVX-512.
#pragma once

namespace laconic::kernels {

bool CpuHasAvxVnni() noexcept;

}  // namespace laconic::kernels
