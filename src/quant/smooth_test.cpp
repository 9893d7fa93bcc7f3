#include "quant/smooth.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "laconic/error.h"
#include "quant/testing.h"

namespace laconic::quant {
namespace {

using ::testing::Each;
using ::testing::FloatNear;
using ::testing::Pointwise;

constexpr std::int64_t kCols = 24;

// Two layers that read the same 90 rows, of which two columns are outliers and one is always 0.
class SmoothGolden : public ::testing::Test {
 protected:
  SmoothGolden() : golden_(testing::Golden("smooth")), min_(kCols), max_(kCols) {
    testing::Random random(golden_.at("seed").get<std::uint32_t>());
    x_ = random.Values(90 * kCols);
    first_ = random.Values(10 * kCols);
    second_ = random.Values(6 * kCols);
    std::ranges::transform(second_, second_.begin(), [](float w) { return w * 0.25F; });
    for (std::size_t i = 0; i < x_.size(); ++i) {
      const std::size_t j = i % kCols;
      x_[i] = j == 3 ? x_[i] * 32 : j == 11 ? std::abs(x_[i]) * 8 : j == 17 ? 0 : x_[i];
      min_[j] = i < kCols ? x_[i] : std::min(min_[j], x_[i]);
      max_[j] = i < kCols ? x_[i] : std::max(max_[j], x_[i]);
    }
    weights_ = {testing::AsMatrix(first_, kCols), testing::AsMatrix(second_, kCols)};
  }

  SmoothInput Input() const { return {min_, max_, weights_}; }
  SmoothChoice Choose(bool dynamic, std::span<const float> alphas = kSmoothAlphas, int threads = 1) const {
    ThreadPool pool(threads);
    return ChooseSmoothing(Input(), testing::AsMatrix(x_, kCols), dynamic, {}, alphas, &pool);
  }

  nlohmann::json golden_;
  std::vector<float> x_, first_, second_, min_, max_;
  std::vector<MatrixView> weights_;
};

TEST_F(SmoothGolden, ScalesAreNumPys) {
  for (std::size_t i = 0; i < std::size(kSmoothAlphas); ++i) {
    const auto expected = golden_.at("scales").at(i).get<std::vector<float>>();
    const std::vector<float> got = SmoothScales(Input(), kSmoothAlphas[i]);
    double log_mean = 0;
    for (std::size_t j = 0; j < got.size(); ++j) {
      EXPECT_NEAR(got[j] / expected[j], 1, 1e-6) << "alpha " << kSmoothAlphas[i] << ", column " << j;
      log_mean += std::log(got[j]);
    }
    EXPECT_NEAR(log_mean, 0, 1e-5);
  }
}

// The sums here are of f32 products of some 24 terms, NumPy's of f64 ones; a value on the edge of two codes may
// differ, one in thousands.
TEST_F(SmoothGolden, ErrorsAreNumPys) {
  for (const bool dynamic : {true, false}) {
    for (std::size_t i = 0; i < std::size(kSmoothAlphas); ++i) {
      const double expected = golden_.at(dynamic ? "dynamic_error" : "static_error").at(i);
      EXPECT_NEAR(Choose(dynamic, std::span(kSmoothAlphas).subspan(i, 1)).squared_error / expected, 1, 2e-3)
          << "dynamic " << dynamic << ", alpha " << kSmoothAlphas[i];
    }
  }
}

TEST_F(SmoothGolden, TheBestAlphaIsTaken) {
  EXPECT_EQ(Choose(true).alpha, 0.5F);
  EXPECT_EQ(Choose(false).alpha, 0.6F);
  EXPECT_EQ(Choose(false).smooth, SmoothScales(Input(), 0.6F));
}

TEST_F(SmoothGolden, ThreadsChangeNoBit) {
  EXPECT_EQ(Choose(false, kSmoothAlphas, 1).squared_error, Choose(false, kSmoothAlphas, 4).squared_error);
}

TEST_F(SmoothGolden, TheStaticRangeIsThatOfTheSmoothedColumns) {
  const std::vector<float> inv = Reciprocals(SmoothScales(Input(), 0.5F));
  float lo = 0;
  float hi = 0;
  for (std::size_t i = 0; i < x_.size(); ++i) {
    lo = std::min(lo, x_[i] * inv[i % kCols]);
    hi = std::max(hi, x_[i] * inv[i % kCols]);
  }
  const Range range = SmoothedMinMax(min_, max_, inv);
  EXPECT_EQ(range.min, lo);
  EXPECT_EQ(range.max, hi);
  EXPECT_EQ(SmoothedMinMax(min_, max_, {}).max, max_[3]);
}

// Weights of 0 count as 1e-5: (1, 1) over the square roots of (1, 1e-5), to a geometric mean of 1.
TEST(SmoothScales, AColumnWithoutWeightsHasABoundedScale) {
  const std::vector<float> bound = {1, 1};
  const std::vector<float> weight = {1, 0};
  const std::vector<MatrixView> weights = {{weight.data(), 1, 2}};
  const std::vector<float> scales = SmoothScales({bound, bound, weights}, 0.5F);
  EXPECT_FLOAT_EQ(scales[0], std::pow(10.0F, -1.25F));
  EXPECT_FLOAT_EQ(scales[1], std::pow(10.0F, 1.25F));
}

TEST(ChooseSmoothing, AWeightThatIsNotFiniteIsAnError) {
  const std::vector<float> bound = {1, 1};
  const std::vector<float> weight = {1, NAN};
  const std::vector<MatrixView> weights = {{weight.data(), 1, 2}};
  ThreadPool pool(1);
  EXPECT_THROW(ChooseSmoothing({bound, bound, weights}, {bound.data(), 1, 2}, true, {}, kSmoothAlphas, &pool), Error);
}

// A static code divides; 0.3 / 0.1 = 3.0000002 in f32, but 2.5 * 1 is a tie.
TEST(FakeQuantizeRows, StaticAndDynamic) {
  const std::vector<float> x = {0.3F, -0.26F, 40.0F, -1.0F, 2.5F, 254.0F};
  std::vector<float> out(6);
  FakeQuantizeRows({x.data(), 2, 3}, {.fixed = QuantParams{0.1F, 2}}, out.data());
  EXPECT_THAT(out, Pointwise(FloatNear(4e-6F), {0.3F, -0.2F, 25.3F, -0.2F, 2.5F, 25.3F}));
  FakeQuantizeRows({x.data() + 3, 1, 3}, {}, out.data());
  EXPECT_THAT(std::vector(out.begin(), out.begin() + 3), Pointwise(FloatNear(0), {-1.0F, 2.0F, 254.0F}));
  FakeQuantizeRows({x.data() + 3, 1, 3}, {.inv_smooth = {0, 2, 0}, .fixed = QuantParams{1, 0}}, out.data());
  EXPECT_THAT(std::vector(out.begin(), out.begin() + 3), Pointwise(FloatNear(0), {0.0F, 5.0F, 0.0F}));
}

}  // namespace
}  // namespace laconic::quant
