#!/usr/bin/env python3
"""Writes src/quant/testdata/weights_golden.json: rounding better than to nearest, formulated independently in NumPy.

GPTQ here is the Optimal Brain form, one column at a time in f64 with the inverse Hessian of the columns that are left
(a rank-1 downdate a step), without the Cholesky factor and the blocks of columns that src/quant uses. Inputs come from
a generator that the tests repeat; activations are whole numbers, so their products are exact in any order.
Run from the repository's root: .venv/bin/python tools/quant/make_weights_golden.py
"""
import json
from pathlib import Path

import numpy as np

from random_values import Random

TARGET = Path("src/quant/testdata/weights_golden.json")
ALPHAS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
f32 = np.float32


def whole_numbers(random, rows, cols):
    """Correlated columns of unlike size, one of them always 0."""
    x = np.floor(random.values(rows, cols) * 64)
    for j in range(1, cols):
        x[:, j] += np.trunc(x[:, j - 1] / 2)
        if j % 7 == 3:
            x[:, j] *= 4
    x[:, 5] = 0
    return x.astype(f32)


def nearest(w, scale, limit):
    return np.clip(np.round(w / scale), -limit, limit)


def absmax_scale(w, limit):
    return (np.abs(w).max(-1) / f32(limit)).astype(f32)


def mse_scale(w, limit):
    def error(scale):
        return ((nearest(w, scale, limit).astype(float) * float(scale) - w) ** 2).sum()

    widest = absmax_scale(w, limit)
    return min((widest * (f32(1) - f32(0.01) * f32(step)) for step in range(40)), key=error)


def gptq(w, scale, hessian, limit):
    """Optimal Brain quantization with a fixed order: codes of w [n, k]."""
    h = hessian.copy()
    dead = np.diag(h) == 0
    h[dead, dead] = 1
    h += 0.01 * np.diag(h).mean() * np.eye(len(h))
    inverse = np.linalg.inv(h)
    left = w.astype(float)
    codes = np.zeros(w.shape, int)
    for j in np.argsort(-np.diag(hessian), kind="stable"):
        codes[:, j] = nearest(left[:, j], scale.astype(float), limit)
        error = (left[:, j] - codes[:, j] * scale.astype(float)) / inverse[j, j]
        left -= np.outer(error, inverse[j])
        inverse -= np.outer(inverse[:, j], inverse[j]) / inverse[j, j]
        inverse[j], inverse[:, j] = 0, 0
    return codes


def fake_quantize(x, dynamic, lo, hi):
    """Affine u8 per row, or with one range."""
    if dynamic:
        lo, hi = np.minimum(x.min(1, keepdims=True), 0), np.maximum(x.max(1, keepdims=True), 0)
    scale = np.maximum((hi - lo) / f32(255), f32(1e-12))
    zero_point = np.round((f32(0) - lo) / scale)
    steps = x * (f32(1) / scale) if dynamic else x / scale
    return scale * (np.clip(np.round(steps) + zero_point, 0, 255) - zero_point)


def smooth_case(seed):
    random = Random(seed)
    x = random.values(90, 24)
    x[:, 3] *= 32
    x[:, 11] = np.abs(x[:, 11]) * 8
    x[:, 17] = 0
    weights = [random.values(10, 24), random.values(6, 24) * f32(0.25)]
    x_max = np.maximum(np.abs(x).max(0), 1e-5).astype(float)
    w_max = np.maximum(np.abs(np.vstack(weights)).max(0), 1e-5).astype(float)
    case = {"seed": seed, "scales": [], "dynamic_error": [], "static_error": []}
    for alpha in ALPHAS:
        s = x_max**alpha / w_max**(1 - alpha) if alpha else np.ones(24)
        s = (s / np.exp(np.log(s).mean())).astype(f32)
        case["scales"].append(s.tolist())
        smoothed = x * (f32(1) / s)
        for dynamic in (True, False):
            q = fake_quantize(smoothed, dynamic, min(smoothed.min(), f32(0)), max(smoothed.max(), f32(0)))
            error = 0
            for w in weights:
                scale = absmax_scale(w * s, 127)[:, None]
                error += ((q.astype(float) @ (nearest(w * s, scale, 127) * scale).astype(float).T
                           - x.astype(float) @ w.astype(float).T) ** 2).sum()
            case["dynamic_error" if dynamic else "static_error"].append(error)
    return case


def gptq_case(seed, rows, cols, outputs, limit):
    random = Random(seed)
    x, w, bias = whole_numbers(random, rows, cols), random.values(outputs, cols), random.values(outputs)
    scale = absmax_scale(w, limit)
    hessian = x.astype(float).T @ x.astype(float) / rows
    codes = gptq(w, scale, hessian, limit)

    def loss(q):
        d = q * scale[:, None].astype(float) - w
        return np.einsum("ij,jk,ik->", d, hessian, d)

    float_x = x + f32(0.25)
    mean = (float_x.astype(float) @ w.astype(float).T + bias).mean(0)
    mean_q = (x.astype(float) @ (codes * scale[:, None].astype(float)).T).mean(0)
    return {"seed": seed, "rows": rows, "cols": cols, "outputs": outputs, "limit": limit, "codes": codes.tolist(),
            "loss": loss(codes), "nearest_loss": loss(nearest(w, scale[:, None], limit)),
            "bias": (mean - mean_q).tolist()}


def range_case(seed):
    w = Random(seed).values(8, 50)
    w[:, :40] *= f32(0.125)    # a few large values that are worth cutting
    blocks = [absmax_scale(w[0, i:i + 32], 127) for i in (0, 32)]
    return {"seed": seed, "mse": [[float(mse_scale(row, limit)) for row in w] for limit in (127, 15)],
            "block_scales": [float(scale) for scale in blocks],
            "block_codes": np.hstack([nearest(w[0, :32], blocks[0], 127), nearest(w[0, 32:], blocks[1], 127)])
            .astype(int).tolist()}


def main():
    golden = {"made_by": f"tools/quant/make_weights_golden.py, numpy {np.__version__}",
              "gptq": [gptq_case(1, 200, 40, 6, 127), gptq_case(2, 700, 300, 35, 127), gptq_case(3, 100, 24, 4, 64)],
              "smooth": smooth_case(4), "range": range_case(5)}
    TARGET.write_text(json.dumps(golden, separators=(",", ":")).replace('{"seed"', '\n{"seed"') + "\n")


if __name__ == "__main__":
    main()
