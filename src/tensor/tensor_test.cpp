#include "tensor/tensor.h"

#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "laconic/error.h"

namespace laconic {
namespace {

Tensor Iota(Shape shape) {
  std::vector<float> values(static_cast<std::size_t>(NumElements(shape)));
  std::iota(values.begin(), values.end(), 0.0F);
  return Tensor::FromValues<float>(std::move(shape), values);
}

TEST(TensorTest, TransposedIsAViewAndContiguousCopiesIt) {
  const Tensor tensor = Iota({2, 3});
  const Tensor view = tensor.Transposed();
  EXPECT_EQ(view.data(), tensor.data());
  EXPECT_EQ(view.shape(), (Shape{3, 2}));
  EXPECT_THAT(view.Contiguous().values<float>(), ::testing::ElementsAre(0, 3, 1, 4, 2, 5));
  EXPECT_THROW(view.values<float>(), Error);
}

TEST(TensorTest, SliceTakesRows) {
  EXPECT_THAT(Iota({3, 2}).Slice(1, 2).values<float>(), ::testing::ElementsAre(2, 3));
}

TEST(TensorTest, HostileShapesAreRefused) {
  EXPECT_THROW(NumElements({-1}), Error);
  EXPECT_THROW(NumElements({std::int64_t{1} << 40, std::int64_t{1} << 40}), Error);
  EXPECT_THROW(NumElements({0, std::int64_t{1} << 40, std::int64_t{1} << 40}), Error);
  EXPECT_THROW(NumElements(Shape(33, 1)), Error);
  EXPECT_EQ(NumElements({}), 1);
}

TEST(TensorTest, ReadingAsAnotherTypeIsRefused) { EXPECT_THROW(Iota({2}).values<std::int32_t>(), Error); }

}  // namespace
}  // namespace laconic
