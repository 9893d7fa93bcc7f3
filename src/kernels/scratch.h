// Parts of a caller's scratch, one after the other: one function lays them out for the kernel that uses them and, at
// null, counts the bytes for the caller. In an unnamed namespace, as panels.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace laconic::kernels {
namespace {

class ScratchParts {
 public:
  explicit ScratchParts(void* begin) : begin_(static_cast<std::byte*>(begin)) {}

  template <typename T>
  T* Take(std::int64_t count) {
    T* const part = begin_ == nullptr ? nullptr : reinterpret_cast<T*>(begin_ + bytes_);
    bytes_ += count * static_cast<std::int64_t>(sizeof(T));
    return part;
  }
  std::int64_t bytes() const { return bytes_; }

 private:
  std::byte* begin_;
  std::int64_t bytes_ = 0;
};

}  // namespace
}  // namespace laconic::kernels
