// Uninitialised memory, aligned to a cache line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "laconic/error.h"

namespace laconic {

class AlignedBytes {
 public:
  static constexpr std::size_t kAlignment = 64;

  AlignedBytes() = default;
  // Errors: kResource.
  explicit AlignedBytes(std::int64_t size_bytes) : size_bytes_(size_bytes) {
    const std::size_t padded = (static_cast<std::size_t>(size_bytes) + kAlignment - 1) / kAlignment * kAlignment;
    data_.reset(static_cast<std::byte*>(std::aligned_alloc(kAlignment, padded == 0 ? kAlignment : padded)));
    if (data_ == nullptr) {
      Fail(ErrorCode::kResource, "no memory for ", size_bytes, " bytes");
    }
  }

  std::byte* data() const noexcept { return data_.get(); }
  std::int64_t size_bytes() const noexcept { return size_bytes_; }

 private:
  struct Free {
    void operator()(std::byte* data) const noexcept { std::free(data); }
  };
  std::unique_ptr<std::byte, Free> data_;
  std::int64_t size_bytes_ = 0;
};

}  // namespace laconic
