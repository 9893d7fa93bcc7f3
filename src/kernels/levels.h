// How a family's dispatch.cpp chooses among its levels.
#pragma once

#include <cstddef>

#include "kernels/types.h"

namespace laconic::kernels {

// `levels` in ascending order, the first scalar: the last one that `isa` includes.
template <typename Kernels, std::size_t N>
constexpr const Kernels& PickLevel(const Kernels (&levels)[N], Isa isa) noexcept {
  std::size_t best = 0;
  while (best + 1 < N && levels[best + 1].isa <= isa) {
    ++best;
  }
  return levels[best];
}

}  // namespace laconic::kernels
