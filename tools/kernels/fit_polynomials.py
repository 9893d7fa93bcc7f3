#!/usr/bin/env python3
"""Prints the polynomial coefficients of src/kernels/activation_simd.h and the errors of their evaluation in f32.

exp:  e^r = 1 + r + r^2 q(r) on |r| <= ln 2 / 2.
gelu: h(a) = erfc(a / sqrt 2) / 2 on [0, GELU_LIMIT] as a polynomial in u = a * 2 / GELU_LIMIT - 1; then
      gelu(x) = max(x, 0) - a h(a), a = min(|x|, GELU_LIMIT): no cancellation on either side, and 0 at 0.
Run from the repository's root: .venv/bin/python tools/kernels/fit_polynomials.py (numpy, scipy)
"""
import numpy as np
from numpy.polynomial import chebyshev, polynomial
from scipy.special import erfc

GELU_LIMIT = 5.5
EXP_DEGREE = 4  # of q
GELU_DEGREE = 15


def fit(f, lo, hi, degree):
    """Coefficients in u, the interval mapped to [-1, 1], of the interpolation at Chebyshev nodes."""
    series = chebyshev.Chebyshev.interpolate(lambda u: f((u + 1) * (hi - lo) / 2 + lo), degree)
    return chebyshev.cheb2poly(series.coef)


def horner_f32(coefficients, u):
    """As the kernels do it: an fma a step, rounded to f32 (the product of two f32 is exact in f64)."""
    result = np.full_like(u, np.float32(coefficients[-1]))
    for c in coefficients[-2::-1]:
        result = (result.astype(np.float64) * u.astype(np.float64) + np.float64(np.float32(c))).astype(np.float32)
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

    def h(a):
        return erfc(a / np.sqrt(2)) / 2

    gelu = fit(h, 0, GELU_LIMIT, GELU_DEGREE)
    show("gelu", gelu)
    a = np.linspace(0, 12, 4_000_001).astype(np.float32)
    bounded = np.minimum(a, np.float32(GELU_LIMIT)).astype(np.float64)
    u = (bounded * np.float64(np.float32(2 / GELU_LIMIT)) - 1).astype(np.float32)
    g = bounded * horner_f32(gelu, u).astype(np.float64)
    exact = a.astype(np.float64)
    print("  largest absolute error", np.max(np.abs(g - exact * h(exact))))
    print("  largest error over max(1, |x|)", np.max(np.abs(g - exact * h(exact)) / np.maximum(1, exact)))
    grid = np.linspace(0, GELU_LIMIT, 100001)
    print("  of the polynomial alone", np.max(np.abs(polynomial.polyval(grid * 2 / GELU_LIMIT - 1, gelu) - h(grid))))


if __name__ == "__main__":
    main()
