// The panel format that the GEMM families share: columns in groups of a few vectors, the last group padded with zeros.
// In an unnamed namespace, so that no file compiled for one ISA hands its copy to the whole program.
#pragma once

#include <cstdint>

namespace laconic::kernels {
namespace {

constexpr std::int64_t RoundUp(std::int64_t value, std::int64_t multiple) noexcept {
  return (value + multiple - 1) / multiple * multiple;
}

constexpr std::int64_t OneColumn(std::int64_t /*n*/) noexcept { return 1; }
constexpr std::int64_t SixteenColumns(std::int64_t /*n*/) noexcept { return 16; }
constexpr std::int64_t ThirtyTwoColumns(std::int64_t /*n*/) noexcept { return 32; }

// 3 or 4 vectors of 16, whichever pads less: 48 divides the hidden sizes 384, 768, 1152, ...; 64 divides 256, 1024, ...
// A narrow head gets one vector.
constexpr std::int64_t WideColumns(std::int64_t n) noexcept {
  if (n <= 16) {
    return 16;
  }
  return RoundUp(n, 64) < RoundUp(n, 48) ? 64 : 48;
}

}  // namespace
}  // namespace laconic::kernels
