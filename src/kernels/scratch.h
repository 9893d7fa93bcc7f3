// Parts of a caller's scratch, one after the other: one function lays them out for the kernel that uses them and, at
// null, counts the bytes for the caller. In an unnamed namespace, as panels.h.
#pragma once

#include <cstdint>

namespace laconic::kernels {
namespace {

class ScratchParts {
 public:
  explicit ScratchParts(void* begin) : begin_(reinterpret_cast<std::uintptr_t>(begin)) {}

  template <typename T>
  T* Take(std::int64_t count) {
    auto* part = reinterpret_cast<T*>(begin_ + bytes_);  // a number, since a null pointer has nothing after it
    bytes_ += static_cast<std::uintptr_t>(count) * sizeof(T);
    return part;
  }
  std::int64_t bytes() const { return static_cast<std::int64_t>(bytes_); }

 private:
  std::uintptr_t begin_;
  std::uintptr_t bytes_ = 0;
};

}  // namespace
}  // namespace laconic::kernels
