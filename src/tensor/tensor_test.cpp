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

TEST(TensorTest, StridedViewsStayInside) {
  const Tensor tensor = Iota({6});
  EXPECT_THAT(tensor.Strided(1, {2, 2}, {1, 3}).Contiguous().values<float>(), ::testing::ElementsAre(1, 4, 2, 5));
  EXPECT_THAT(tensor.Strided(5, {2}, {0}).Contiguous().values<float>(), ::testing::ElementsAre(5, 5));
  EXPECT_EQ(tensor.Strided(6, {0}, {1}).num_elements(), 0);
  EXPECT_THROW(tensor.Strided(2, {2, 2}, {1, 3}), Error);
  EXPECT_THROW(tensor.Strided(6, {}, {}), Error);
  EXPECT_THROW(tensor.Strided(-1, {1}, {1}), Error);
  EXPECT_THROW(tensor.Strided(1, {2}, {-1}), Error);
  EXPECT_THROW(tensor.Strided(0, {7}, {0}), Error);
  EXPECT_THROW(tensor.Strided(0, {2}, {}), Error);
  EXPECT_THROW(tensor.Strided(1, {3, 2}, {INT64_MAX / 2, 1}), Error);
}

TEST(TensorTest, HostileShapesAreRefused) {
  EXPECT_THROW(NumElements({-1}), Error);
  EXPECT_THROW(NumElements({std::int64_t{1} << 40, std::int64_t{1} << 40}), Error);
  EXPECT_THROW(NumElements({0, std::int64_t{1} << 40, std::int64_t{1} << 40}), Error);
  EXPECT_THROW(NumElements(Shape(33, 1)), Error);
  EXPECT_EQ(NumElements({}), 1);
}

TEST(TensorTest, AnotherNumberOfValuesThanTheShapeHasIsRefused) {
  const std::vector<float> values(100);
  EXPECT_THROW(Tensor::FromValues<float>({1}, values), Error);
  EXPECT_THROW(Tensor::FromValues<float>({101}, values), Error);
}

TEST(TensorTest, ReadingAsAnotherTypeIsRefused) { EXPECT_THROW(Iota({2}).values<std::int32_t>(), Error); }

}  // namespace
}  // namespace laconic
