#!/usr/bin/env python3
"""Prints the polynomial coefficients of src/kernels/activation_simd.h and the errors of their evaluation in f32.

exp:  e^r = 1 + r + r^2 q(r) on |r| <= ln 2 / 2.
exp2: 2^r = 1 + r q(r) on |r| <= 1/2; to 2 ulp, and as near as weights in 8 bits need it.
gelu: h(a) = erfc(a / sqrt 2) / 2 on [0, GELU_LIMIT], a polynomial in d = a / GELU_WIDTH - k for each of the 16 integers
      k nearest to that quotient; then gelu(x) = max(x, 0) - a h(a), a = min(|x|, GELU_LIMIT): no cancellation on either
      side, and 0 at 0.
Run from the repository's root: .venv/bin/python tools/kernels/fit_polynomials.py (numpy, scipy)
"""
import numpy as np
from numpy.polynomial import chebyshev
from scipy.special import erfc

GELU_LIMIT = 5.5
GELU_WIDTH = 0.355  # the last piece ends at 15.5 of it
EXP_DEGREE = 4  # of q
EXP2_DEGREES = {"exp2": 5, "exp2 of weights in 8 bits": 3}  # likewise
GELU_DEGREE = 4


def fit(f, lo, hi, degree):
    """Coefficients in u, the interval mapped to [-1, 1], of the interpolation at Chebyshev nodes."""
    series = chebyshev.Chebyshev.interpolate(lambda u: f((u + 1) * (hi - lo) / 2 + lo), degree)
    return chebyshev.cheb2poly(series.coef)


def horner_f32(coefficients, u):
    """As the kernels do it: an fma a step, rounded to f32 (the product of two f32 is exact in f64)."""
    result = np.zeros_like(u)
    for c in coefficients[::-1]:
        result = (result.astype(np.float64) * u.astype(np.float64) + np.float32(c)).astype(np.float32)
    return result


def show(name, coefficients):
    print(name, ", ".join(f"{np.float32(c):.9g}F" for c in coefficients))


def main():
    half = np.log(2) / 2

    def q(r):
        small = np.abs(r) < 1e-3
        safe = np.where(small, 1.0, r)
        return np.where(small, 0.5 + r / 6 + r * r / 24, (np.expm1(safe) - safe) / (safe * safe))

    scaled = fit(q, -half, half, EXP_DEGREE)
    exp = scaled / half ** np.arange(len(scaled))
    show("exp", exp)
    r = np.linspace(-half, half, 2_000_001).astype(np.float32)
    value = horner_f32(np.concatenate([[1, 1], exp]), r)
    print("  largest relative error", np.max(np.abs(value / np.exp(r.astype(np.float64)) - 1)))

    r = np.linspace(-0.5, 0.5, 2_000_001).astype(np.float32)
    for name, degree in EXP2_DEGREES.items():
        exp2 = fit(lambda r: np.where(r == 0, np.log(2), np.expm1(r * np.log(2)) / np.where(r == 0, 1, r)), -0.5, 0.5,
                   degree) * 2.0 ** np.arange(degree + 1)
        show(name, exp2)
        value = horner_f32(np.concatenate([[1], exp2]), r)
        print("  largest relative error", np.max(np.abs(value / np.exp2(r.astype(np.float64)) - 1)))

    def h(a):
        return erfc(a / np.sqrt(2)) / 2

    half_width = GELU_WIDTH / 2
    gelu = np.array([fit(h, k * GELU_WIDTH - half_width, k * GELU_WIDTH + half_width, GELU_DEGREE) for k in range(16)])
    gelu *= 2.0 ** np.arange(GELU_DEGREE + 1)  # from [-1, 1] to d
    for i in range(GELU_DEGREE + 1):
        show(f"-gelu, d^{i}", -gelu[:, i])
    a = np.linspace(0, 12, 4_000_001).astype(np.float32)
    bounded = np.minimum(a, np.float32(GELU_LIMIT))
    scaled = bounded * np.float32(1 / GELU_WIDTH)
    k = np.rint(scaled)
    d = scaled - k
    g = bounded.astype(np.float64) * horner_f32(gelu[k.astype(int)].T, d).astype(np.float64)
    exact = a.astype(np.float64)
    print("  largest absolute error", np.max(np.abs(g - exact * h(exact))))
    print("  largest error over max(1, |x|)", np.max(np.abs(g - exact * h(exact)) / np.maximum(1, exact)))


if __name__ == "__main__":
    main()
