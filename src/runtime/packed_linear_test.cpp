// Layers side by side are packed as one layer of all their columns would be, however each lies in memory.

#include "runtime/packed_linear.h"

#include <cmath>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/isa.h"

namespace laconic::runtime {
namespace {

constexpr std::int64_t kDepth = 21;

template <typename T>
T ValueAt(std::int64_t p, std::int64_t column) {
  return static_cast<T>(std::round(100 * std::sin(static_cast<double>(p * 50 + column))));
}

// Columns [begin, end) of one matrix [kDepth, ...], in memory as they are or transposed.
template <typename T>
LinearPart PartOf(std::int64_t begin, std::int64_t end, bool is_transposed) {
  const std::int64_t n = end - begin;
  std::vector<T> values(static_cast<std::size_t>(kDepth * n));
  for (std::int64_t p = 0; p < kDepth; ++p) {
    for (std::int64_t j = 0; j < n; ++j) {
      values[static_cast<std::size_t>(is_transposed ? j * kDepth + p : p * n + j)] = ValueAt<T>(p, begin + j);
    }
  }
  const Tensor weight = is_transposed ? Tensor::FromValues<T>({n, kDepth}, values).Transposed()
                                      : Tensor::FromValues<T>({kDepth, n}, values);
  return {.weight = weight, .scale = Tensor::FromValues<float>({}, std::vector{0.5F})};
}

template <typename T, typename Pack>
void ExpectOneLayer(const Pack& pack) {
  const auto whole = pack({PartOf<T>(0, 41, true)});
  for (const bool first : {false, true}) {
    for (const bool others : {false, true}) {
      const auto joined = pack(
          {PartOf<T>(0, 5, first), PartOf<T>(5, 22, others), PartOf<T>(22, 23, others), PartOf<T>(23, 41, others)});
      ASSERT_EQ(joined.n, 41);
      ASSERT_EQ(joined.weights.size_bytes, whole.weights.size_bytes);
      EXPECT_EQ(
          std::memcmp(joined.weights.data, whole.weights.data, static_cast<std::size_t>(whole.weights.size_bytes)), 0)
          << first << ' ' << others;
    }
  }
}

TEST(PackedLinear, LayersSideBySide) {
  PackStore store;
  const kernels::Isa isa = kernels::ActiveIsa();
  ExpectOneLayer<std::int8_t>(
      [&](const std::vector<LinearPart>& parts) { return PackS8(parts, kernels::GetGemmU8S8(isa), &store); });
  ExpectOneLayer<float>([&](const std::vector<LinearPart>& parts) { return PackF32(parts, isa, &store); });
}

}  // namespace
}  // namespace laconic::runtime
