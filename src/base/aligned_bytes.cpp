#include "base/aligned_bytes.h"

#include <cstdlib>

#include <sys/mman.h>

#include "laconic/error.h"

namespace laconic {
namespace {

// From here on a block is mapped on its own, so that all of it leaves memory when it is freed, whatever lies beside it:
// copies of weights that live for a moment, between ones that stay, left holes of 14 MB in the heap of a base-size
// model. (The C library does so too, but raises its limit each time it sees a larger block go.)
constexpr std::size_t kMinMappedBytes = std::size_t{1} << 18;

constexpr std::size_t kHugePageBytes = std::size_t{1} << 21;

std::size_t RoundUp(std::size_t value, std::size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

[[noreturn]] void FailToGet(std::int64_t size_bytes) {
  Fail(ErrorCode::kResource, "no memory for ", size_bytes, " bytes");
}

// Null if there is none.
std::byte* Map(std::size_t size) {
  void* const data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return data == MAP_FAILED ? nullptr : static_cast<std::byte*>(data);
}

}  // namespace

AlignedBytes::AlignedBytes(std::int64_t size_bytes) : size_bytes_(size_bytes) {
  const std::size_t padded = RoundUp(static_cast<std::size_t>(size_bytes), kAlignment);
  const bool is_mapped = padded >= kMinMappedBytes;
  std::byte* const data =
      is_mapped ? Map(padded)
                : static_cast<std::byte*>(std::aligned_alloc(kAlignment, padded == 0 ? kAlignment : padded));
  if (data == nullptr) {
    FailToGet(size_bytes);
  }
  data_ = {data, FreeAlignedBytes{is_mapped ? padded : 0}};
}

AlignedBytes AlignedBytes::OnHugePages(std::int64_t size_bytes) {
  const std::size_t padded = RoundUp(static_cast<std::size_t>(size_bytes) + 1, kHugePageBytes);
  std::byte* const mapped = Map(padded + kHugePageBytes);
  if (mapped == nullptr) {
    FailToGet(size_bytes);
  }
  // What lies before the first huge page and after the last one is given back.
  const std::size_t before =
      RoundUp(reinterpret_cast<std::uintptr_t>(mapped), kHugePageBytes) - reinterpret_cast<std::uintptr_t>(mapped);
  std::byte* const data = mapped + before;
  if (before > 0) {
    ::munmap(mapped, before);
  }
  if (before < kHugePageBytes) {
    ::munmap(data + padded, kHugePageBytes - before);
  }
#ifdef MADV_HUGEPAGE
  ::madvise(data, padded, MADV_HUGEPAGE);  // refused, it is memory as any other
#endif
  AlignedBytes bytes;
  bytes.data_ = {data, FreeAlignedBytes{padded}};
  bytes.size_bytes_ = size_bytes;
  return bytes;
}

void FreeAlignedBytes::operator()(std::byte* data) const noexcept {
  if (mapped_bytes > 0) {
    ::munmap(data, mapped_bytes);
  } else {
    std::free(data);
  }
}

}  // namespace laconic
