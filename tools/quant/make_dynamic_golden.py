#!/usr/bin/env python3
"""Writes src/quant/testdata/dynamic_golden.json: per-token dynamic quantization by plain ONNX operators in ONNX Runtime.

The graph is docs/numerics.md's formula, one f32 operator a step, so what it gives is what an exported model computes.
Floats are stored as their bits. Run from the repository's root: .venv/bin/python tools/quant/make_dynamic_golden.py
"""
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

TARGET = Path("src/quant/testdata/dynamic_golden.json")
COLUMNS = 24


def constant(name, value):
    return helper.make_tensor(name, TensorProto.FLOAT, [], [value])


def build():
    def node(op, inputs, output, **attributes):
        return helper.make_node(op, inputs, [output], **attributes)

    nodes = [
        node("ReduceMin", ["x"], "min", axes=[1], keepdims=1),
        node("Min", ["min", "zero"], "lo"),
        node("ReduceMax", ["x"], "max", axes=[1], keepdims=1),
        node("Max", ["max", "zero"], "hi"),
        node("Sub", ["hi", "lo"], "range"),
        node("Div", ["range", "levels"], "step"),
        node("Max", ["step", "least"], "scale"),
        node("Sub", ["zero", "lo"], "minus_lo"),
        node("Div", ["minus_lo", "scale"], "offset"),
        node("Round", ["offset"], "zero_point"),
        node("Div", ["one", "scale"], "inv_scale"),
        node("Mul", ["x", "inv_scale"], "scaled"),
        node("Round", ["scaled"], "rounded"),
        node("Add", ["rounded", "zero_point"], "shifted"),
        node("Clip", ["shifted", "zero", "levels"], "clipped"),
        node("Cast", ["clipped"], "q", to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes, "dynamic", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, COLUMNS])],
        [helper.make_tensor_value_info(name, kind, [None, None])
         for name, kind in (("scale", TensorProto.FLOAT), ("zero_point", TensorProto.FLOAT), ("q", TensorProto.UINT8))],
        [constant("zero", 0.0), constant("one", 1.0), constant("levels", 255.0), constant("least", 1e-12)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def rows():
    rng = np.random.default_rng(3)
    normal = rng.standard_normal((40, COLUMNS))
    scales = 10.0 ** rng.uniform(-8, 8, (40, 1))
    x = (normal * scales).astype(np.float32)
    x[0] = 0                                   # nothing but zeros
    x[1] = np.abs(x[1])                        # one-sided
    x[2] = -np.abs(x[2])
    x[3] = (normal[3] * 1e-13).astype(np.float32)    # below the least scale
    x[4] = (normal[4] * 1e-40).astype(np.float32)    # subnormals
    x[5] = (normal[5] * 1e37).astype(np.float32)
    x[6] = np.arange(COLUMNS, dtype=np.float32) - 0.5    # ties: the scale is a power of two
    x[6, 0], x[6, -1] = -127.5, 127.5
    x[7] = 0
    x[7, 3] = -3.0e38                          # one value
    x[8] = x[8] * 0 - 0.0
    return x


def main():
    session = onnxruntime.InferenceSession(build().SerializeToString(), providers=["CPUExecutionProvider"])
    x = rows()
    scale, zero_point, q = session.run(["scale", "zero_point", "q"], {"x": x})
    golden = {
        "made_by": f"tools/quant/make_dynamic_golden.py, onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}",
        "rows": [{"x": x[i].view(np.uint32).tolist(), "scale": int(scale[i].view(np.uint32)[0]),
                  "zero_point": int(zero_point[i, 0]), "q": q[i].tolist()} for i in range(len(x))],
    }
    TARGET.write_text(json.dumps(golden, separators=(",", ":")).replace('{"x"', '\n{"x"') + "\n")


if __name__ == "__main__":
    main()
