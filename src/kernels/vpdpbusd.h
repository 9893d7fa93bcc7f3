// sum += the four products of u8 (left) and s8 (right) in each 32-bit lane, exact: on 512 bits, or on 256 in the VEX
// form of AVX-VNNI. One instruction in asm, so that g++ 12 keeps `sum` in its register; with the intrinsic it spills.
#pragma once

#include <immintrin.h>

namespace laconic::kernels {
namespace {

#ifdef __AVX512F__
inline void Vpdpbusd(__m512i& sum, __m512i left, __m512i right) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(left), "v"(right));
}
#else
#ifndef LACONIC_VPDPBUSD
#define LACONIC_VPDPBUSD "%{vex%} vpdpbusd"
#endif
inline void Vpdpbusd(__m256i& sum, __m256i left, __m256i right) {
  asm(LACONIC_VPDPBUSD " %2, %1, %0" : "+x"(sum) : "x"(left), "x"(right));
}
#endif

}  // namespace
}  // namespace laconic::kernels
