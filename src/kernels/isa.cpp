#include "kernels/isa.h"

#include <cstdlib>

#include "kernels/amx.h"
#include "kernels/avx_vnni.h"
#include "laconic/error.h"

#if LACONIC_HAVE_AVX2
#include <cpuid.h>
#endif

namespace laconic::kernels {

namespace {

struct IsaName {
  std::string_view name;
  Isa isa;
};
constexpr IsaName kIsaNames[] = {{"scalar", Isa::kScalar},          {"avx2", Isa::kAvx2},
                                 {"avx_vnni", Isa::kAvxVnni},       {"avx512_vnni", Isa::kAvx512Vnni},
                                 {"avx512_bf16", Isa::kAvx512BF16}, {"amx", Isa::kAmx}};

bool HasAvx2() noexcept {
#if LACONIC_HAVE_AVX2
  constexpr unsigned kF16C = 1U << 29;  // CPUID leaf 1, ECX; clang 14's __builtin_cpu_supports does not know it
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & kF16C) != 0;
#else
  return false;
#endif
}

bool HasAvxVnni() noexcept {
#if LACONIC_HAVE_AVX_VNNI
  return HasAvx2() && CpuHasAvxVnni();
#else
  return false;
#endif
}

bool HasAvx512Vnni() noexcept {
#if LACONIC_HAVE_AVX512_VNNI
  return HasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

bool HasAvx512BF16() noexcept {
#if LACONIC_HAVE_AVX512_BF16
  constexpr unsigned kBF16 = 1U << 5;  // CPUID leaf 7, subleaf 1, EAX
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return HasAvx512Vnni() && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & kBF16) != 0;
#else
  return false;
#endif
}

bool HasAmx() noexcept {
#if LACONIC_HAVE_AMX
  static const bool has = HasAvx512BF16() && AmxGranted();
  return has;
#else
  return false;
#endif
}

Isa DetectIsa() {
  if (const char* forced = std::getenv("LACONIC_FORCE_ISA"); forced != nullptr && *forced != '\0') {
    return WithFrame([] { return std::string("LACONIC_FORCE_ISA"); },
                     [&] {
                       const Isa isa = ParseIsa(forced);
                       CheckIsaSupported(isa);
                       return isa;
                     });
  }
  Isa best = Isa::kScalar;
  for (const IsaName& row : kIsaNames) {
    if (IsaSupported(row.isa)) {
      best = row.isa;
    }
  }
  return best;
}

}  // namespace

bool IsaSupported(Isa isa) noexcept {
  switch (isa) {
    case Isa::kScalar:
      return true;
    case Isa::kAvx2:
      return HasAvx2();
    case Isa::kAvxVnni:
      return HasAvxVnni();
    case Isa::kAvx512Vnni:
      return HasAvx512Vnni();
    case Isa::kAvx512BF16:
      return HasAvx512BF16();
    case Isa::kAmx:
      return HasAmx();
  }
  return false;
}

void CheckIsaSupported(Isa isa) {
  if (IsaSupported(isa)) {
    return;
  }
  std::string known;
  for (const IsaName& row : kIsaNames) {
    known += IsaSupported(row.isa) ? (known.empty() ? "" : ", ") + std::string(row.name) : "";
  }
  Fail(ErrorCode::kUnsupported, "this CPU or build lacks the kernel level '", ToString(isa), "'; expected one of ",
       known);
}

Isa ActiveIsa() {
  static const Isa isa = DetectIsa();
  return isa;
}

std::string_view ToString(Isa isa) noexcept {
  for (const IsaName& row : kIsaNames) {
    if (row.isa == isa) {
      return row.name;
    }
  }
  return "?";
}

Isa ParseIsa(std::string_view name) {
  for (const IsaName& row : kIsaNames) {
    if (row.name == name) {
      return row.isa;
    }
  }
  Fail(ErrorCode::kInvalidArgument, "unknown kernel level '", name,
       "', expected scalar, avx2, avx_vnni, avx512_vnni, avx512_bf16 or amx");
}

}  // namespace laconic::kernels
