// AVX-VNNI for tests on CPUs that have AVX-512 instead, whose form of vpdpbusd on 256 bits differs in its encoding
// alone: the level's kernels are compiled for each encoding, and those that this CPU has run. In a program that links
// this file it replaces avx_vnni.cpp and the library's kernels. For test programs, never for the library.
#include <cpuid.h>

#include "kernels/attention_int8/attention_int8.h"
#include "kernels/avx_vnni.h"
#include "kernels/gemm_u8s8/gemm_u8s8.h"

namespace laconic::kernels {

void GemmU8S8AvxVnniVex(const GemmU8S8Args& args) noexcept;
void GemmU8S8AvxVnniEvex(const GemmU8S8Args& args) noexcept;
void AttentionInt8AvxVnniVex(const AttentionArgs& args) noexcept;
void AttentionInt8AvxVnniEvex(const AttentionArgs& args) noexcept;

namespace {

bool HasVex() noexcept {
  constexpr unsigned kAvxVnni = 1U << 4;  // CPUID leaf 7, subleaf 1, EAX
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & kAvxVnni) != 0;
}

}  // namespace

bool CpuHasAvxVnni() noexcept {
  __builtin_cpu_init();
  return HasVex() || (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vl"));
}

void GemmU8S8AvxVnni(const GemmU8S8Args& args) noexcept {
  static const bool has_vex = HasVex();
  (has_vex ? GemmU8S8AvxVnniVex : GemmU8S8AvxVnniEvex)(args);
}

void AttentionInt8AvxVnni(const AttentionArgs& args) noexcept {
  static const bool has_vex = HasVex();
  (has_vex ? AttentionInt8AvxVnniVex : AttentionInt8AvxVnniEvex)(args);
}

}  // namespace laconic::kernels
