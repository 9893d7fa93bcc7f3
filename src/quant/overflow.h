// What x86 without VNNI makes of u8 * s8 sums: vpmaddubsw adds the products of two neighbours along k into s16 and
// saturates. ONNX Runtime's MLAS and oneDNN sum this way on AVX2 and on AVX-512 without VNNI; Laconic's kernels do not.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

namespace laconic::quant {

// a0 w0 + a1 w1, exact; what does not fit s16 saturates.
constexpr std::int32_t PairSum(std::uint8_t a0, std::uint8_t a1, std::int8_t w0, std::int8_t w1) noexcept {
  return a0 * w0 + a1 * w1;
}
constexpr bool FitsS16(std::int32_t sum) noexcept { return sum >= -32768 && sum <= 32767; }

// Whether activations of at most `max_a0` and `max_a1` can saturate a pair: each is 0 or its largest.
constexpr bool CanSaturate(std::int8_t w0, std::int8_t w1, std::uint8_t max_a0 = 255,
                           std::uint8_t max_a1 = 255) noexcept {
  const auto part = [](std::int8_t w, bool positive) { return static_cast<std::int8_t>((w > 0) == positive ? w : 0); };
  return !FitsS16(PairSum(max_a0, max_a1, part(w0, true), part(w1, true))) ||
         !FitsS16(PairSum(max_a0, max_a1, part(w0, false), part(w1, false)));
}

// sum over pairs (2i, 2i + 1) of their sums, each saturated to s16; an odd last product stands alone. In s32, as
// vpmaddubsw, vpmaddwd with ones and vpaddd give it. Precondition: a.size() == w.size() <= kMaxLinearTerms.
constexpr std::int32_t DotSaturated(std::span<const std::uint8_t> a, std::span<const std::int8_t> w) noexcept {
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < a.size(); i += 2) {
    const bool has_next = i + 1 < a.size();
    const std::int32_t pair =
        PairSum(a[i], has_next ? a[i + 1] : std::uint8_t{0}, w[i], has_next ? w[i + 1] : std::int8_t{0});
    sum += std::clamp(pair, -32768, 32767);
  }
  return sum;
}

}  // namespace laconic::quant
