// For the kernels' tests: buffers that end at a page that may not be touched, random data, what level must have run.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

#include <sys/mman.h>

#include "kernels/isa.h"

namespace laconic::kernels {

// `count` elements, zero at first. The page after the last one faults when read or written.
template <typename T>
class GuardedBuffer {
 public:
  explicit GuardedBuffer(std::int64_t count) : count_(count) {
    constexpr std::size_t kPage = 4096;
    const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
    mapped_ = (bytes + kPage - 1) / kPage * kPage + kPage;
    void* pages = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
      throw std::runtime_error("mmap failed");
    }
    base_ = static_cast<std::byte*>(pages);
    mprotect(base_ + mapped_ - kPage, kPage, PROT_NONE);
    data_ = reinterpret_cast<T*>(base_ + mapped_ - kPage - bytes);
  }
  ~GuardedBuffer() { munmap(base_, mapped_); }
  GuardedBuffer(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;

  T* data() noexcept { return data_; }
  T& operator[](std::int64_t i) noexcept { return data_[i]; }
  std::int64_t size() const noexcept { return count_; }
  std::span<T> span() noexcept { return {data_, static_cast<std::size_t>(count_)}; }
  std::vector<T> values() const { return {data_, data_ + count_}; }

 private:
  std::int64_t count_;
  std::size_t mapped_;
  std::byte* base_;
  T* data_;
};

// Rows of `cols` elements, `stride` apart, ending at the guard page.
constexpr std::int64_t StridedSize(std::int64_t rows, std::int64_t cols, std::int64_t stride) {
  return rows == 0 ? 0 : (rows - 1) * stride + cols;
}

// A value that no kernel computes: what the gaps between rows must still hold afterwards.
inline constexpr float kUntouched = -12345.678F;

inline void FillNormal(std::span<float> x, std::mt19937& rng, float deviation = 1) {
  std::normal_distribution<float> normal(0, deviation);
  for (float& value : x) {
    value = normal(rng);
  }
}

template <typename T>
void FillIntegers(std::span<T> x, std::mt19937& rng, int lo, int hi) {
  std::uniform_int_distribution<int> uniform(lo, hi);
  for (T& value : x) {
    value = static_cast<T>(uniform(rng));
  }
}

// Equal as bits: NaN equals itself, 0 differs from -0.
inline bool SameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

// The level that a family whose best is `best` must report, if it has none of avx_vnni.
inline Isa ExpectedLevel(Isa best) {
  const Isa isa = ActiveIsa() < best ? ActiveIsa() : best;
  return isa == Isa::kAvxVnni ? Isa::kAvx2 : isa;
}

// The other vector level to compare floats with, if this run has one: their results must agree bit for bit.
inline bool ComparesWithAvx2() { return ActiveIsa() > Isa::kAvx2; }

}  // namespace laconic::kernels
