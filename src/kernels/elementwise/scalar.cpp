#include <cmath>
#include <numbers>

#include "kernels/elementwise/elementwise.h"

namespace laconic::kernels {

namespace {

constexpr float kSqrtHalf = std::numbers::sqrt2_v<float> / 2;
constexpr float kSqrtTwoOverPi = 0.7978845608F;
constexpr float kGeluCubic = 0.044715F;

// GELU rounds to -0 from here on down; its formulas would make NaN of -infinity.
constexpr float kGeluLeast = -20;

float Apply(Activation activation, float x) noexcept {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGeluErf:
      return x < kGeluLeast ? -0.0F : 0.5F * x * std::erfc(-x * kSqrtHalf);
    case Activation::kGeluTanh:
      return x < kGeluLeast ? -0.0F : 0.5F * x * (1 + std::tanh(kSqrtTwoOverPi * (x + kGeluCubic * x * x * x)));
    case Activation::kRelu:
      return x < 0 ? 0 : x;  // so written, NaN stays NaN
    case Activation::kTanh:
      return std::tanh(x);
  }
  return x;
}

}  // namespace

void ActivateScalar(Activation activation, std::int64_t n, const float* x, float* y) noexcept {
  for (std::int64_t i = 0; i < n; ++i) {
    y[i] = Apply(activation, x[i]);
  }
}

void AddScalar(std::int64_t n, const float* a, const float* b, float* y) noexcept {
  for (std::int64_t i = 0; i < n; ++i) {
    y[i] = a[i] + b[i];
  }
}

}  // namespace laconic::kernels
