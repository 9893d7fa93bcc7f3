#!/usr/bin/env python3
"""Writes src/quant/testdata/static_golden.json: QuantizeLinear and DynamicQuantizeLinear as ONNX Runtime computes them.

Floats are stored as their bits. Run from the repository's root: .venv/bin/python tools/quant/make_static_golden.py
"""
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

TARGET = Path("src/quant/testdata/static_golden.json")
COLUMNS = 48


def run(op, inputs, outputs):
    kinds = {np.dtype("float32"): TensorProto.FLOAT, np.dtype("uint8"): TensorProto.UINT8, np.dtype("int8"): TensorProto.INT8}
    graph = helper.make_graph(
        [helper.make_node(op, list(inputs), outputs)], op,
        [helper.make_tensor_value_info(name, kinds[value.dtype], value.shape) for name, value in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def bits(values):
    return values.view(np.uint32).tolist()


def static_case(x, scale, zero_point):
    q, = run("QuantizeLinear", {"x": x, "scale": scale, "zero_point": zero_point}, ["q"])
    return {"x": bits(x), "scale": bits(scale), "zero_point": int(zero_point), "dtype": "s8" if q.dtype == np.int8 else "u8",
            "q": q.tolist()}


def dynamic_case(x):
    q, scale, zero_point = run("DynamicQuantizeLinear", {"x": x}, ["q", "scale", "zero_point"])
    return {"x": bits(x), "scale": bits(scale), "zero_point": int(zero_point), "q": q.tolist()}


def main():
    rng = np.random.default_rng(4)
    static, dynamic = [], []
    for i in range(40):
        x = (rng.standard_normal(COLUMNS) * 10.0 ** rng.uniform(-6, 6)).astype(np.float32)
        scale = np.float32(np.ptp(x) / 255 * 10.0 ** rng.uniform(-0.5, 0.5))  # some saturate
        if i % 4 == 0:  # many ties
            scale = np.float32(2.0 ** rng.integers(-8, 8))
            x = ((rng.integers(-300, 300, COLUMNS) + 0.5) * scale).astype(np.float32)
        if i == 1:
            x[:2] = np.inf, -np.inf
        zero_point = np.uint8(rng.integers(0, 256)) if i % 2 else np.int8(rng.integers(-128, 128))
        static.append(static_case(x, np.array(scale), np.array(zero_point)))
        one_sided = np.abs(x) if i % 5 == 0 else x
        if i != 1:
            dynamic.append(dynamic_case(one_sided))
    dynamic.append(dynamic_case(np.zeros(COLUMNS, np.float32)))
    golden = {"made_by": f"tools/quant/make_static_golden.py, onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}",
              "static": static, "dynamic": dynamic}
    TARGET.write_text(json.dumps(golden, separators=(",", ":")).replace('{"x"', '\n{"x"') + "\n")


if __name__ == "__main__":
    main()
