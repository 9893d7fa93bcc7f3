// What the fuzzers of checkpoint readers share.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "tensor/tensor_map.h"

namespace laconic {

// Bytes under a path, without a disk.
class MemoryFile {
 public:
  explicit MemoryFile(std::span<const std::uint8_t> bytes) : descriptor_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    while (!bytes.empty()) {
      const ssize_t put = ::write(descriptor_.get(), bytes.data(), bytes.size());
      if (put <= 0) {
        FailErrno("cannot write", path());
      }
      bytes = bytes.subspan(static_cast<std::size_t>(put));
    }
  }
  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(descriptor_.get()); }

 private:
  FileDescriptor descriptor_;
};

// Reads every element, so that a view outside its file shows.
inline void ReadEveryElement(const TensorMap& tensors) {
  for (const auto& [name, tensor] : tensors) {
    const Tensor copy = tensor.Contiguous();
    std::uint8_t folded = 0;
    for (std::int64_t i = 0; i < copy.size_bytes(); ++i) {
      folded ^= std::to_integer<std::uint8_t>(copy.data()[i]);
    }
    volatile std::uint8_t sink = folded;
    static_cast<void>(sink);
  }
}

}  // namespace laconic
