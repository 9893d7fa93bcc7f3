// exp and the activation functions on Vec16. Coefficients and errors: tools/kernels/fit_polynomials.py.
#pragma once

#include "kernels/types.h"
#include "kernels/vec16.h"

namespace laconic::kernels {
namespace {

// By Horner's rule: the fewest steps.
template <int kCount>
inline Vec16 Horner(const float (&coefficients)[kCount], Vec16 u) {
  Vec16 result = Set1(coefficients[kCount - 1]);
#pragma GCC unroll 16
  for (int i = kCount - 2; i >= 0; --i) {
    result = Fma(result, u, Set1(coefficients[i]));
  }
  return result;
}

// The same polynomial of degree 15 by Estrin's rule: three steps more, but a chain so short that the processor's window
// holds enough of them at a time.
inline Vec16 Estrin(const float (&coefficients)[16], Vec16 u) {
  Vec16 terms[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    terms[i] = Fma(Set1(coefficients[2 * i + 1]), u, Set1(coefficients[2 * i]));
  }
  Vec16 power = u;
#pragma GCC unroll 3
  for (int count = 4; count >= 1; count /= 2) {
    power = Mul(power, power);
#pragma GCC unroll 4
    for (int i = 0; i < count; ++i) {
      terms[i] = Fma(terms[2 * i + 1], power, terms[2 * i]);
    }
  }
  return terms[0];
}

// e^x for x <= 0, to 2 ulp; 0 where the result would be subnormal. NaN stays NaN.
inline Vec16 ExpNonPositive(Vec16 x) {
  constexpr float kLog2E = 1.44269504F;
  constexpr float kLn2High = 0.693359375F;  // few bits: n * kLn2High is exact
  constexpr float kLn2Low = -2.12194440e-4F;
  constexpr float kLeast = -87.3365402F;  // ln of the least normal f32
  constexpr float kQuotient[] = {0.5F, 0.166665778F, 0.0416665561F, 0.00836317334F, 0.00139261759F};
  const Vec16 bounded = Max(Set1(kLeast), x);
  const Vec16 n = Round(Mul(bounded, Set1(kLog2E)));
  const Vec16 r = Fma(n, Set1(-kLn2Low), Fma(n, Set1(-kLn2High), bounded));
  const Vec16 one = Set1(1.0F);
  const Vec16 value = Fma(Fma(Horner(kQuotient, r), r, one), r, one);
  return ZeroWhereLess(x, Set1(kLeast), Mul(value, PowerOfTwo(n)));
}

// max(x, 0) - a h(a) with a = |x| and h(a) = erfc(a / sqrt 2) / 2: no cancellation on either side, and 0 at 0.
inline Vec16 GeluErf(Vec16 x) {
  constexpr float kLimit = 5.5F;  // from here on a h(a) < 1.1e-7
  constexpr float kTail[] = {0.00297972304F, -0.0250073783F, 0.0945640504F,  -0.206837073F,
                             0.271771759F,   -0.176805824F,  -0.050553523F,  0.21646142F,
                             -0.165899262F,  -0.0293613579F, 0.138062745F,   -0.0574596971F,
                             -0.0475873351F, 0.0365426578F,  0.00666184351F, -0.00753279496F};
  const Vec16 a = Min(Set1(kLimit), Abs(x));
  const Vec16 u = Fma(a, Set1(2.0F / kLimit), Set1(-1.0F));
  return Sub(Max(Set1(0.0F), x), Mul(a, Estrin(kTail, u)));
}

// max(x, 0) - a e / (1 + e) with a = |x|, e = exp(-2 u(a)), u(a) = sqrt(2/pi) (a + 0.044715 a^3).
inline Vec16 GeluTanh(Vec16 x) {
  constexpr float kLinear = -1.59576912F;  // -2 sqrt(2/pi)
  constexpr float kCubic = -0.0713548163F;
  const Vec16 a = Min(Set1(16.0F), Abs(x));  // a^3 stays finite
  const Vec16 e = ExpNonPositive(Mul(a, Fma(Mul(a, a), Set1(kCubic), Set1(kLinear))));
  return Sub(Max(Set1(0.0F), x), Div(Mul(a, e), Add(e, Set1(1.0F))));
}

// (1 - e) / (1 + e) with e = exp(-2 |x|), and x's sign.
inline Vec16 Tanh(Vec16 x) {
  const Vec16 one = Set1(1.0F);
  const Vec16 e = ExpNonPositive(Mul(Abs(x), Set1(-2.0F)));
  return CopySign(Div(Sub(one, e), Add(one, e)), x);
}

template <Activation kActivation>
inline Vec16 Activate(Vec16 x) {
  if constexpr (kActivation == Activation::kGeluErf) {
    return GeluErf(x);
  } else if constexpr (kActivation == Activation::kGeluTanh) {
    return GeluTanh(x);
  } else if constexpr (kActivation == Activation::kRelu) {
    return Max(Set1(0.0F), x);
  } else if constexpr (kActivation == Activation::kTanh) {
    return Tanh(x);
  } else {
    return x;
  }
}

// Calls body.template operator()<activation>(): the choice is made once, outside the loops.
template <typename Body>
inline void WithActivation(Activation activation, const Body& body) {
  switch (activation) {
    case Activation::kNone:
      return body.template operator()<Activation::kNone>();
    case Activation::kGeluErf:
      return body.template operator()<Activation::kGeluErf>();
    case Activation::kGeluTanh:
      return body.template operator()<Activation::kGeluTanh>();
    case Activation::kRelu:
      return body.template operator()<Activation::kRelu>();
    case Activation::kTanh:
      return body.template operator()<Activation::kTanh>();
  }
}

}  // namespace
}  // namespace laconic::kernels
