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

}  // namespace

AlignedBytes::AlignedBytes(std::int64_t size_bytes) : size_bytes_(size_bytes) {
  const std::size_t padded = (static_cast<std::size_t>(size_bytes) + kAlignment - 1) / kAlignment * kAlignment;
  const bool is_mapped = padded >= kMinMappedBytes;
  void* data = nullptr;
  if (is_mapped) {
    data = ::mmap(nullptr, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  } else {
    data = std::aligned_alloc(kAlignment, padded == 0 ? kAlignment : padded);
  }
  if (data == nullptr || data == MAP_FAILED) {
    Fail(ErrorCode::kResource, "no memory for ", size_bytes, " bytes");
  }
  data_ = {static_cast<std::byte*>(data), FreeAlignedBytes{is_mapped ? padded : 0}};
}

void FreeAlignedBytes::operator()(std::byte* data) const noexcept {
  if (mapped_bytes > 0) {
    ::munmap(data, mapped_bytes);
  } else {
    std::free(data);
  }
}

}  // namespace laconic
