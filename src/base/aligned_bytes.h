// Uninitialised memory, aligned to a cache line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace laconic {

struct FreeAlignedBytes {
  void operator()(std::byte* data) const noexcept;
  std::size_t mapped_bytes = 0;  // 0: from the heap
};

class AlignedBytes {
 public:
  static constexpr std::size_t kAlignment = 64;

  AlignedBytes() = default;
  // Errors: kResource.
  explicit AlignedBytes(std::int64_t size_bytes);
  // In memory of its own that huge pages of 2 MB back where the system lends them. Errors: kResource.
  static AlignedBytes OnHugePages(std::int64_t size_bytes);

  std::byte* data() const noexcept { return data_.get(); }
  std::int64_t size_bytes() const noexcept { return size_bytes_; }

 private:
  std::unique_ptr<std::byte, FreeAlignedBytes> data_;
  std::int64_t size_bytes_ = 0;
};

}  // namespace laconic
