// Which instruction set level this process uses.
#pragma once

#include <string_view>

#include "kernels/types.h"

namespace laconic::kernels {

// The level for this process: the best one of this CPU, or the one that LACONIC_FORCE_ISA names. Decided once.
// Errors: kInvalidArgument for an unknown name, kUnsupported for a level that this CPU (or build) lacks.
Isa ActiveIsa();

bool IsaSupported(Isa isa) noexcept;
// Errors: kUnsupported naming the level and those that run here.
void CheckIsaSupported(Isa isa);

std::string_view ToString(Isa isa) noexcept;  // "scalar", "avx2", "avx_vnni", "avx512_vnni", ...
// Errors: kInvalidArgument naming the text and the known levels.
Isa ParseIsa(std::string_view name);

}  // namespace laconic::kernels
