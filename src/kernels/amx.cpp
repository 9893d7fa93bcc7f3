// Nothing else belongs in this file: the tests of the kernel levels replace it by amx_emulator.cpp.
#include "kernels/amx.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace laconic::kernels {

bool AmxInt8Granted() noexcept {
  constexpr unsigned kAmxTile = 1U << 24;  // CPUID leaf 7, EDX
  constexpr unsigned kAmxInt8 = 1U << 25;
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx & kAmxTile) != 0 && (edx & kAmxInt8) != 0 &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace laconic::kernels
