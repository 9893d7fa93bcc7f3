#include "quant/column_stats.h"

#include <cmath>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "laconic/error.h"
#include "quant/testing.h"

namespace laconic::quant {
namespace {

using ::testing::ElementsAre;

TEST(ColumnRange, HoldsZeroAndMerges) {
  const std::vector<float> rows = {1, -5, 2, 3, -1, -7};
  ColumnRange a(3);
  a.Add(testing::AsMatrix(rows, 3));
  EXPECT_THAT(a.min(), ElementsAre(0, -5, -7));
  EXPECT_THAT(a.max(), ElementsAre(3, 0, 2));
  ColumnRange b(3);
  b.Add({rows.data(), 1, 3});
  ColumnRange c(3);
  c.Add({rows.data() + 3, 1, 3});
  b.Add(c);
  EXPECT_THAT(b.min(), ElementsAre(0, -5, -7));
  EXPECT_THAT(b.max(), ElementsAre(3, 0, 2));
}

TEST(ColumnRange, RefusesWhatIsNotFinite) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    const std::vector<float> rows = {1, bad};
    EXPECT_THROW(ColumnRange(2).Add(testing::AsMatrix(rows, 2)), Error);
  }
}

std::vector<float> Sample(std::int64_t num_rows, std::int64_t piece, std::int64_t limit) {
  std::vector<float> rows;
  for (std::int64_t i = 0; i < num_rows; ++i) {
    rows.insert(rows.end(), {static_cast<float>(i), -1});
  }
  RowSample sample(2, limit);
  for (std::int64_t i = 0; i < num_rows; i += piece) {
    sample.Add({rows.data() + i * 2, std::min(piece, num_rows - i), 2});
  }
  return sample.Rows();
}

TEST(RowSample, TakesDifferentRowsWhateverTheBatches) {
  const std::vector<float> sample = Sample(1000, 1, 64);
  ASSERT_EQ(sample.size(), 128U);
  EXPECT_EQ(sample, Sample(1000, 1000, 64));
  EXPECT_EQ(sample, Sample(1000, 7, 64));
  std::set<float> numbers;
  double mean = 0;
  for (std::size_t i = 0; i < sample.size(); i += 2) {
    numbers.insert(sample[i]);
    mean += sample[i] / 64;
    EXPECT_EQ(sample[i + 1], -1);
  }
  EXPECT_EQ(numbers.size(), 64U);
  EXPECT_NEAR(mean, 500, 4 * 289 / 8.0) << "four standard errors";
}

TEST(RowSample, FewRowsAreAllTaken) {
  EXPECT_EQ(Sample(5, 2, 64).size(), 10U);
  EXPECT_TRUE(Sample(5, 2, 0).empty());
}

}  // namespace
}  // namespace laconic::quant
