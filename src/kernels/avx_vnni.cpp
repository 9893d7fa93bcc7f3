// Nothing else belongs in this file: the tests of the kernel levels replace it by avx_vnni_stand_in.cpp.
#include "kernels/avx_vnni.h"

#include <cpuid.h>

namespace laconic::kernels {

bool CpuHasAvxVnni() noexcept {
  constexpr unsigned kAvxVnni = 1U << 4;  // CPUID leaf 7, subleaf 1, EAX
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & kAvxVnni) != 0;
}

}  // namespace laconic::kernels
