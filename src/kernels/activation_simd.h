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

// c 2^x for x <= 127, by the polynomial of c 2^r, whose first coefficient is c >= 1; of x < -126 as of -126. NaN may
// become a number.
template <int kCount>
inline Vec16 Exp2(const float (&coefficients)[kCount], Vec16 x) {
  const Vec16 bounded = Max(Set1(-126.0F), x);
  const Vec16 shifted = Add(bounded, Set1(kRoundToBits));
  const Vec16 r = Sub(bounded, Sub(shifted, Set1(kRoundToBits)));
  return AddToExponent(Horner(coefficients, r), shifted);
}

// To 2 ulp.
inline Vec16 Exp2(Vec16 x) {
  constexpr float kCoefficients[] = {1.0F,           0.693147182F,   0.240226507F,   0.0555035695F,
                                     0.00961808302F, 0.00133908633F, 0.000154531634F};
  return Exp2(kCoefficients, x);
}

// max(x, 0) - a h(a) with a = |x| and h(a) = erfc(a / sqrt 2) / 2: no cancellation on either side, and 0 at 0.
//
// h is a polynomial of degree 4 around each of 16 points k * kWidth: the table lookups cost less than the eleven
// degrees more that a single polynomial needs.
inline Vec16 GeluErf(Vec16 x) {
  constexpr float kLimit = 5.5F;  // from here on a h(a) < 1.1e-7
  constexpr float kWidth = 0.355F;
  alignas(64) constexpr float kMinusPieces[5][kLanes] = {
      {-0.5F, -0.361294806F, -0.238852069F, -0.143437967F, -0.0778038427F, -0.0379489437F, -0.0165858064F,
       -0.00647757156F, -0.00225567678F, -0.000699154218F, -0.000192615582F, -4.71126914e-05F, -1.02213453e-05F,
       -1.96547649e-06F, -3.34764508e-07F, -5.0476519e-08F},
      {0.141623423F, 0.132974967F, 0.110071331F, 0.0803243816F, 0.0516759343F, 0.0293086357F, 0.0146543719F,
       0.00645952905F, 0.00251011527F, 0.000859889027F, 0.000259682885F, 6.91340829e-05F, 1.62249835e-05F,
       3.35671371e-06F, 6.12176223e-07F, 9.84156898e-08F},
      {-4.85149725e-15F, -0.00837903563F, -0.0138716269F, -0.0151841575F, -0.0130247632F, -0.00923396181F,
       -0.00554044591F, -0.00284926826F, -0.00126541383F, -0.000487704558F, -0.000163662495F, -4.79334303e-05F,
       -1.22739384e-05F, -2.75144862e-06F, -5.40527878e-07F, -9.31339201e-08F},
      {-0.0029571976F, -0.00242866226F, -0.00114544155F, 0.000218132773F, 0.00109247712F, 0.00131667452F,
       0.00108644087F, 0.000703242258F, 0.000374570809F, 0.000167961334F, 6.42265732e-05F, 2.11123861e-05F,
       5.99813666e-06F, 1.47844503e-06F, 3.17044226e-07F, 5.92765943e-08F},
      {2.23390981e-14F, 0.000251322024F, 0.000361661281F, 0.000296493934F, 0.000134737929F, -1.37727338e-05F,
       -8.8679597e-05F, -9.46733053e-05F, -6.73076793e-05F, -3.70339658e-05F, -1.66131358e-05F, -6.22954758e-06F,
       -1.98047428e-06F, -5.38609243e-07F, -1.26068031e-07F, -2.55061874e-08F}};
  const Vec16 a = Min(Set1(kLimit), Abs(x));
  const Vec16 scaled = Mul(a, Set1(1.0F / kWidth));
  const Vec16 shifted = Add(scaled, Set1(kRoundToBits));
  const Vec16 d = Sub(scaled, Sub(shifted, Set1(kRoundToBits)));
  const Lookup16 piece = MakeLookup(shifted);
  Vec16 minus_h = LookUp(kMinusPieces[4], piece);
#pragma GCC unroll 4
  for (int i = 3; i >= 0; --i) {
    minus_h = Fma(minus_h, d, LookUp(kMinusPieces[i], piece));
  }
  return Fma(a, minus_h, Max(Set1(0.0F), x));
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
