#!/usr/bin/env python3
"""Writes src/quant/testdata/int8_attention_golden.json: attention on INT8 codes of one head, as NumPy computes it.

docs/numerics.md's formula, one f32 operation a step. No weight lies so close to a tie that another exp could round it
otherwise. Inputs are multiples of 2^-23 by the generator of src/quant/testing.h; outputs are stored as their bits.
Run from the repository's root: .venv/bin/python tools/quant/make_int8_attention_golden.py
"""
import json
from pathlib import Path

import numpy as np

from random_values import Random

TARGET = Path("src/quant/testdata/int8_attention_golden.json")
CASES = ((1, 1, 4, 0.5), (3, 5, 8, 1.5), (7, 40, 32, 0.8), (2, 300, 16, 3.0))    # queries, keys, width, scale
TIE = 1e-3
F = np.float32


def codes(x):
    """Codes and step of each row."""
    step = np.maximum(np.abs(x).max(axis=-1, keepdims=True) / F(127), F(1e-12))
    return np.rint(x * (F(1) / step)).astype(np.int64), step


def attention(q, k, v, scale):
    """The answer, and how close the nearest weight is to a tie."""
    q_codes, q_step = codes(q)
    k_codes, k_step = codes(k)
    v_codes, v_step = codes(np.ascontiguousarray(v.T))
    score = (q_codes @ k_codes.T).astype(F) * (q_step * F(scale)) * k_step.T
    shares = F(255) * np.exp(score - score.max(axis=-1, keepdims=True))
    weights = np.rint(shares).astype(np.int64)
    inv_sum = F(1) / weights.sum(axis=-1, keepdims=True).astype(F)
    out = (weights @ v_codes.T).astype(F) * inv_sum * v_step.T
    assert out.dtype == F
    return out, np.abs(shares % 1 - 0.5).min()


def make_case(queries, keys, width, scale):
    """The first seed without a tie."""
    for seed in range(1, 1000):
        random = Random(seed)
        q, k, v = random.values(queries, width), random.values(keys, width), random.values(keys, width)
        out, distance = attention(q, k, v, scale)
        if distance > TIE:
            return {"queries": queries, "keys": keys, "width": width, "scale": scale, "seed": seed,
                    "out": out.view(np.uint32).ravel().tolist()}
    raise SystemExit("each seed has a tie")


def main():
    golden = {"made_by": f"tools/quant/make_int8_attention_golden.py, numpy {np.__version__}",
              "cases": [make_case(*case) for case in CASES]}
    TARGET.write_text(json.dumps(golden, separators=(",", ":")).replace('{"queries"', '\n{"queries"') + "\n")


if __name__ == "__main__":
    main()
