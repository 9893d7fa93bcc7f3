// Nothing else belongs in this file: the tests of the kernel levels replace it by amx_emulator.cpp.
#include "kernels/amx.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace laconic::kernels {

bool AmxGranted() noexcept {
  constexpr unsigned kNeeded = 1U << 22 | 1U << 24 | 1U << 25;  // CPUID leaf 7, EDX: AMX-BF16, AMX-TILE, AMX-INT8
  constexpr long kRequestPermission = 0x1023;                   // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx & kNeeded) == kNeeded &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace laconic::kernels
