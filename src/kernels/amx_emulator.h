// AMX for tests on CPUs that lack it: a handler of SIGILL that decodes each AMX instruction, does what the CPU would do
// and goes on behind it. A trap takes 2 us. Linux on x86-64 only; for test programs, never for the library.
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1 chapter 18 (tiles, palette 1) and the
// pages of the instructions in volume 2.
//
// Done:  ldtilecfg, sttilecfg, tilerelease, tilezero, tileloadd, tileloaddt1, tilestored, tdpbssd, tdpbsud, tdpbusd,
//        tdpbuud, tdpbf16ps (with AVX2 and FMA). Every thread has tiles of its own, unconfigured at first. Where the
//        CPU would fault (tiles not configured, a bad configuration, shapes that do not fit), the process prints why
//        and aborts. A memory operand that may not be touched faults as it does in the CPU.
// Not:   operands relative to fs or gs, or with 32-bit addresses; configurations that start at another row than 0.
#pragma once

#include <cstdint>

namespace laconic::kernels {

// Also defines AmxGranted (amx.h), anew: in a program that links this file the level amx runs on every CPU
// that has the levels below it, if LACONIC_FORCE_ISA asks for it.

enum class AmxSource : std::uint8_t { kCpu, kEmulator };

// Makes AMX instructions run, once for the process: grants the CPU's own, or installs the emulator.
AmxSource ProvideAmx() noexcept;

// Whether this thread's tiles are configured: who leaves them so has the system save 8 KB at each switch of threads.
bool TilesConfigured() noexcept;

// AMX instructions of this thread that were emulated.
struct AmxCounts {
  std::int64_t configurations = 0;  // ldtilecfg
  std::int64_t loads = 0;           // tileloadd
  std::int64_t stream_loads = 0;    // tileloaddt1
  std::int64_t stores = 0;
  std::int64_t products = 0;
};
AmxCounts EmulatedAmx() noexcept;

}  // namespace laconic::kernels
