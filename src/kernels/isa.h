// The instruction set levels that the kernels come in, and which one this process uses.
#pragma once

#include <cstdint>
#include <string_view>

namespace laconic::kernels {

// In order: a level includes those before it. A family that has no file for a level uses the level below.
enum class Isa : std::uint8_t {
  kScalar,      // baseline x86-64 (or any other CPU): the readable definition
  kAvx2,        // avx2 + fma + f16c
  kAvx512Vnni,  // avx512 f, bw, dq, vl, vnni
  kAmxInt8,     // the above and AMX INT8 tiles, which the system must grant too
};

// The level for this process: the best one of this CPU, or the one that LACONIC_FORCE_ISA names. Decided once.
// Errors: kInvalidArgument for an unknown name, kUnsupported for a level that this CPU (or build) lacks.
Isa ActiveIsa();

bool IsaSupported(Isa isa) noexcept;

std::string_view ToString(Isa isa) noexcept;  // "scalar", "avx2", "avx512_vnni", "amx_int8"
// Errors: kInvalidArgument naming the text and the known levels.
Isa ParseIsa(std::string_view name);

}  // namespace laconic::kernels
