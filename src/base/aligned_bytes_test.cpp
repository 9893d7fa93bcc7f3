#include "base/aligned_bytes.h"

#include <cstdint>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>

#include "laconic/error.h"

namespace laconic {
namespace {

std::uintptr_t AddressOf(const AlignedBytes& bytes) { return reinterpret_cast<std::uintptr_t>(bytes.data()); }

// On the heap and mapped, on pages of either size; a write to any byte of one leaves the others alone.
TEST(AlignedBytes, AlignsAndHolds) {
  for (const std::int64_t size : {0, 1, 63, 65, 300'000, (2 << 20) - 1, 2 << 20, 5'000'001}) {
    const AlignedBytes bytes(size);
    const AlignedBytes huge = AlignedBytes::OnHugePages(size);
    EXPECT_EQ(bytes.size_bytes(), size);
    EXPECT_EQ(huge.size_bytes(), size);
    EXPECT_EQ(AddressOf(bytes) % AlignedBytes::kAlignment, 0U);
    EXPECT_EQ(AddressOf(huge) % (2U << 20), 0U);
    std::memset(bytes.data(), 1, static_cast<std::size_t>(size));
    std::memset(huge.data(), 2, static_cast<std::size_t>(size));
    EXPECT_TRUE(size == 0 || (bytes.data()[0] == std::byte{1} && bytes.data()[size - 1] == std::byte{1}));
  }
}

TEST(AlignedBytes, MoreThanThereIs) {
  constexpr std::int64_t kSize = std::numeric_limits<std::int64_t>::max() / 2;
  EXPECT_THROW(AlignedBytes{kSize}, Error);
  EXPECT_THROW(AlignedBytes::OnHugePages(kSize), Error);
}

}  // namespace
}  // namespace laconic
