#include "kernels/elementwise/elementwise.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include <gtest/gtest.h>

#include "kernels/testing.h"

namespace laconic::kernels {
namespace {

double GeluErf(double x) { return x / 2 * std::erfc(-x / std::sqrt(2.0)); }
double GeluTanh(double x) { return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }

// Points over all magnitudes and, densely, where the functions bend.
std::vector<float> Points() {
  std::vector<float> points;
  for (float x = -20; x < 20; x += 1.0F / 4096) {
    points.push_back(x + 1e-5F);
  }
  for (int exponent = -149; exponent < 128; ++exponent) {
    points.push_back(std::ldexp(1.0F, exponent));
    points.push_back(-std::ldexp(1.3F, exponent));
  }
  points.push_back(0.0F);
  points.push_back(-0.0F);
  return points;
}

void ExpectNear(Activation activation, const std::function<double(double)>& exact,
                const std::function<double(double)>& bound) {
  const std::vector<float> x = Points();
  std::vector<float> y(x.size());
  GetElementwise(ActiveIsa()).activate(activation, static_cast<std::int64_t>(x.size()), x.data(), y.data());
  for (std::size_t i = 0; i < x.size(); ++i) {
    ASSERT_NEAR(y[i], exact(x[i]), bound(x[i])) << "x = " << x[i];
  }
  if (ComparesWithAvx2()) {
    std::vector<float> other(x.size());
    GetElementwise(Isa::kAvx2).activate(activation, static_cast<std::int64_t>(x.size()), x.data(), other.data());
    EXPECT_TRUE(SameBits(y, other));
  }
}

TEST(Elementwise, RunsTheForcedLevel) { EXPECT_EQ(GetElementwise(ActiveIsa()).isa, ExpectedLevel(Isa::kAvx512Vnni)); }

TEST(Elementwise, GeluErf) {
  ExpectNear(Activation::kGeluErf, GeluErf, [](double x) { return 3e-7 * std::max(1.0, std::abs(x)); });
}

TEST(Elementwise, GeluTanh) {
  ExpectNear(Activation::kGeluTanh, GeluTanh, [](double x) { return 3e-7 * std::max(1.0, std::abs(x)); });
}

TEST(Elementwise, Tanh) {
  ExpectNear(
      Activation::kTanh, [](double x) { return std::tanh(x); }, [](double) { return 1.5e-7; });
}

TEST(Elementwise, ReluIsExact) {
  ExpectNear(
      Activation::kRelu, [](double x) { return std::max(x, 0.0); }, [](double) { return 0; });
}

TEST(Elementwise, ZeroStaysZeroAndNaNStaysNaN) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const Activation activation :
       {Activation::kNone, Activation::kGeluErf, Activation::kGeluTanh, Activation::kRelu, Activation::kTanh}) {
    const float x[] = {0.0F, NAN, infinity};
    float y[] = {1, 1, 1};
    GetElementwise(ActiveIsa()).activate(activation, 3, x, y);
    EXPECT_EQ(y[0], 0.0F) << static_cast<int>(activation);
    EXPECT_TRUE(std::isnan(y[1])) << static_cast<int>(activation);
    EXPECT_EQ(y[2], activation == Activation::kTanh ? 1.0F : infinity) << static_cast<int>(activation);
  }
}

TEST(Elementwise, AnyLengthInPlaceAndNothingBeyond) {
  std::mt19937 rng(1);
  for (std::int64_t n = 0; n <= 70; ++n) {
    GuardedBuffer<float> x(n);
    GuardedBuffer<float> y(n);
    FillNormal(x.span(), rng);
    const std::vector<float> before = x.values();
    GetElementwise(ActiveIsa()).activate(Activation::kGeluErf, n, x.data(), y.data());
    GetElementwise(ActiveIsa()).activate(Activation::kGeluErf, n, x.data(), x.data());
    ASSERT_TRUE(SameBits(x.span(), y.span()));
    GuardedBuffer<float> sum(n);
    GetElementwise(ActiveIsa()).add(n, before.data(), y.data(), sum.data());
    for (std::int64_t i = 0; i < n; ++i) {
      ASSERT_NEAR(y[i], GeluErf(before[static_cast<std::size_t>(i)]), 1e-6);
      ASSERT_EQ(sum[i], before[static_cast<std::size_t>(i)] + y[i]);
    }
  }
}

}  // namespace
}  // namespace laconic::kernels
