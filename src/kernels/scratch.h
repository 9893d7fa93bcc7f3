// Parts of a caller's scratch, one after the other: one function lays them out, of ScratchParts for the kernel that
// uses them, of ScratchBytes for the caller that allocates them. In an unnamed namespace, as panels.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace laconic::kernels {
namespace {

class ScratchParts {
 public:
  explicit ScratchParts(void* begin) : end_(static_cast<std::byte*>(begin)) {}

  template <typename T>
  T* Take(std::int64_t count) {
    auto* part = reinterpret_cast<T*>(end_);
    end_ += count * static_cast<std::int64_t>(sizeof(T));
    return part;
  }

 private:
  std::byte* end_;
};

class ScratchBytes {
 public:
  template <typename T>
  T* Take(std::int64_t count) {
    bytes_ += count * static_cast<std::int64_t>(sizeof(T));
    return nullptr;
  }
  std::int64_t bytes() const { return bytes_; }

 private:
  std::int64_t bytes_ = 0;
};

}  // namespace
}  // namespace laconic::kernels
