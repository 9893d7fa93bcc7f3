#include "kernels/isa.h"

#include <cstdlib>

#include "laconic/error.h"

#if LACONIC_HAVE_AMX_INT8
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace laconic::kernels {

namespace {

struct IsaName {
  std::string_view name;
  Isa isa;
};
constexpr IsaName kIsaNames[] = {
    {"scalar", Isa::kScalar}, {"avx2", Isa::kAvx2}, {"avx512_vnni", Isa::kAvx512Vnni}, {"amx_int8", Isa::kAmxInt8}};

bool HasAvx2() noexcept {
#if LACONIC_HAVE_AVX2
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
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

Isa DetectIsa() {
  if (const char* forced = std::getenv("LACONIC_FORCE_ISA")) {
    const Isa isa = WithFrame([] { return std::string("LACONIC_FORCE_ISA"); }, [&] { return ParseIsa(forced); });
    if (!IsaSupported(isa)) {
      Fail(ErrorCode::kUnsupported, "LACONIC_FORCE_ISA=", forced, " cannot run here: this CPU or build lacks it");
    }
    return isa;
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
    case Isa::kAvx512Vnni:
      return HasAvx512Vnni();
    case Isa::kAmxInt8:
      return false;
  }
  return false;
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
       "', expected scalar, avx2, avx512_vnni or amx_int8");
}

}  // namespace laconic::kernels
