#!/usr/bin/env python3
"""Runs operators of com.microsoft in ONNX Runtime and here: run_microsoft_cases.py PROGRAM DIRECTORY

PROGRAM (laconic_run_operator_cases) reads each case's model and runs it in the interpreter. Every case is one node with
random inputs; each form that src/formats/onnx/microsoft_ops.cpp knows is there: optional inputs, every kind of mask,
widths of their own for values, scales per column. Floats must agree within 1e-5 of the largest (sums of up to 16
products in another order), codes within one step (halves may fall to either side), and 99 of 100 exactly; those of
QLinearAdd and QLinearMul exactly, whose inputs hold every pair of codes. What is not known must be refused as
unsupported, with the node and the operator's domain named.
"""
import argparse
import json
import sys
from pathlib import Path

try:
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, helper
    from exact_session import exact_session
except ImportError as missing:
    print(f"run_microsoft_cases: skipped: {missing}")
    sys.exit(77)
from run_operator_cases import ELEMENTS, NAMES, run

RANDOM = np.random.default_rng(7)
EXACT = ("QLinearAdd", "QLinearMul")
BATCH, LENGTH, HEADS, WIDTH = 2, 5, 2, 8


class Case:
    """One node. Inputs: arrays, or None where an optional one is absent; those numbered in `constants` are initializers."""

    def __init__(self, op, inputs, constants=(), outputs=1, **attributes):
        self.name = f"{op} {sorted(attributes.items())} of {['-' if i is None else list(i.shape) for i in inputs]}"
        names = ["" if array is None else f"i{i}" for i, array in enumerate(inputs)]
        constants = [i for i in constants if inputs[i] is not None]
        self.inputs = {f"i{i}": a for i, a in enumerate(inputs) if a is not None and i not in constants}
        self.outputs = [f"o{i}" if i in (outputs if isinstance(outputs, tuple) else range(outputs)) else ""
                        for i in range(1 + max(outputs if isinstance(outputs, tuple) else range(outputs)))]
        node = helper.make_node(op, names, self.outputs, name="the_node", domain="com.microsoft", **attributes)
        graph = helper.make_graph(
            [node], "case", [helper.make_tensor_value_info(n, element(a), a.shape)
                             for n, a in self.inputs.items()],
            [helper.make_empty_tensor_value_info(o) for o in self.outputs if o],
            [helper.make_tensor(f"i{i}", element(inputs[i]), inputs[i].shape, inputs[i].tobytes(), raw=True)
             for i in constants])
        self.model = helper.make_model(graph, ir_version=8, opset_imports=[
            helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)])

    def expected(self):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        session = exact_session(self.model, options)
        return dict(zip([o.name for o in session.get_outputs()], session.run(None, self.inputs), strict=True))

    def with_types(self):
        """The graph's outputs need element types to be read; ONNX Runtime finds them itself."""
        expected = self.expected()
        for output in self.model.graph.output:
            output.CopyFrom(helper.make_tensor_value_info(output.name, element(expected[output.name]), None))
        return expected


def element(array):
    return next(number for number, name in ELEMENTS.items() if name == NAMES[array.dtype])


def floats(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def codes(dtype, *shape):
    info = np.iinfo(dtype)
    return RANDOM.integers(info.min, info.max + 1, shape).astype(dtype)


def number(value, dtype=np.float32):
    return np.array(value, dtype)


def attention_cases():
    hidden = HEADS * WIDTH
    lengths = np.array([3, 5], np.int32)
    mask = (np.arange(LENGTH) < lengths[:, None]).astype(np.int32)
    holes = np.array([[1, 0, 1, 1, 0], [1, 1, 0, 1, 1]], np.int32)
    masks = [None, lengths, mask, holes, holes * np.array([[1], [0]], np.int32), np.repeat(holes[:, None], LENGTH, 1)]
    x, weight, bias = floats(BATCH, LENGTH, 12), floats(12, 3 * hidden), floats(3 * hidden)
    scores = floats(1, HEADS, LENGTH, LENGTH)
    for m in masks:
        yield Case("Attention", [x, weight, bias, m], constants=(1, 2), num_heads=HEADS)
        yield Case("MultiHeadAttention", [floats(BATCH, LENGTH, hidden) for _ in range(3)] + [bias, m],
                   constants=(3,), num_heads=HEADS)
    for extra in ({"scale": 0.1}, {"mask_filter_value": -2.0}):
        yield Case("Attention", [x, weight, bias, mask], constants=(1, 2), num_heads=HEADS, **extra)
    yield Case("Attention", [x, weight, bias, holes, None, scores], constants=(1, 2), num_heads=HEADS)
    yield Case("Attention", [x, floats(12, 2 * hidden + 6), floats(2 * hidden + 6)], constants=(1, 2), num_heads=HEADS,
               qkv_hidden_sizes=[hidden, hidden, 6])
    yield Case("MultiHeadAttention", [floats(BATCH, LENGTH, hidden) for _ in range(3)] + [None, None, scores],
               num_heads=HEADS)


def float_cases():
    x, skip, gamma, beta, bias = floats(2, 5, 16), floats(2, 5, 16), floats(16), floats(16), floats(16)
    yield Case("SkipLayerNormalization", [x, skip, gamma])
    yield Case("SkipLayerNormalization", [x, skip, gamma, beta, bias], epsilon=1e-3)
    yield Case("SkipLayerNormalization", [x, skip, gamma, None, bias], outputs=(0, 3))
    yield Case("SkipLayerNormalization", [x, floats(1, 5, 16), gamma, beta])
    ids, types = RANDOM.integers(0, 9, (2, 5)).astype(np.int32), RANDOM.integers(0, 2, (2, 5)).astype(np.int32)
    tables = [floats(9, 16), floats(7, 16)]
    places = RANDOM.integers(0, 7, (2, 5)).astype(np.int32)
    mask = np.array([[1, 1, 1, 0, 0], [1] * 5], np.int32)
    yield Case("EmbedLayerNormalization", [ids, types, *tables, floats(2, 16), gamma, beta, mask], constants=(2, 3, 4, 5, 6),
               outputs=2)
    yield Case("EmbedLayerNormalization", [ids, None, *tables, None, gamma, beta, mask, places],
               constants=(2, 3, 5, 6), outputs=2)
    yield Case("EmbedLayerNormalization", [ids, types, *tables, floats(2, 16), gamma, beta, mask, places[:1]],
               constants=(2, 3, 4, 5, 6), outputs=3, epsilon=1e-5)
    yield Case("BiasGelu", [x, bias])
    yield Case("FastGelu", [x])
    yield Case("FastGelu", [x, bias])
    yield Case("Gelu", [x])
    a, b = floats(2, 3, 4, 6), floats(2, 3, 6, 5)
    yield Case("FusedMatMul", [a, b])
    yield Case("FusedMatMul", [a, b], alpha=0.25)
    yield Case("FusedMatMul", [a.swapaxes(2, 3).copy(), b.swapaxes(2, 3).copy()], alpha=-2.0, transA=1, transB=1)
    for activation in ("Relu", "Sigmoid", "Tanh"):
        yield Case("FusedGemm", [floats(4, 6), floats(5, 6), floats(5)], alpha=0.5, beta=2.0, transB=1,
                   activation=activation)


def quantized_cases():
    for weight in (np.int8, np.uint8):
        a, b = codes(np.uint8, 2, 3, 16), codes(weight, 16, 5)
        for scale, zero in ((number(0.02), number(3, weight)), (RANDOM.random(5).astype(np.float32) / 50, None)):
            yield Case("DynamicQuantizeMatMul", [floats(2, 3, 16), b, scale, zero, floats(5)], constants=(1, 2, 3))
            yield Case("MatMulIntegerToFloat", [a, b, number(0.1), scale, number(120, np.uint8), zero, floats(5)],
                       constants=(1, 3, 5))
            for output in ([number(0.5), number(99, np.uint8)], []):
                yield Case("QGemm", [a[0], number(0.01), number(128, np.uint8), b.T.copy(), scale,
                                     number(3, weight) if zero is not None else np.zeros(5, weight),
                                     RANDOM.integers(-500, 500, 5).astype(np.int32), *output],
                           constants=(3, 4, 5, 6), transB=1)
        wide = codes(weight, 12, 3 * HEADS * WIDTH)
        for scale, zero in ((number(0.01), number(5, weight)),
                            (RANDOM.random(wide.shape[1]).astype(np.float32) / 50, np.zeros(wide.shape[1], weight))):
            yield Case("QAttention", [codes(np.uint8, BATCH, LENGTH, 12), wide, floats(wide.shape[1]), number(0.02), scale,
                                      np.array([3, 5], np.int32), number(130, np.uint8), zero],
                       constants=(1, 2, 4, 7), num_heads=HEADS)
        ids = RANDOM.integers(0, 9, (2, 5)).astype(np.int32)
        tables = [codes(weight, 9, 16), codes(weight, 7, 16), codes(weight, 2, 16), codes(weight, 16), codes(weight, 16)]
        yield Case("QEmbedLayerNormalization",
                   [ids, ids % 2, *tables, (ids > 2).astype(np.int32), *[number(s) for s in (0.01, 0.02, 0.03, 0.04, 0.05)],
                    *[number(z, weight) for z in (1, 2, 3, 4, 5)]], constants=(2, 3, 4, 5, 6, *range(8, 18)), outputs=2)
        yield Case("QLinearSoftmax", [codes(weight, 2, 3, 16), number(0.05), number(7, weight), number(1 / 256),
                                      number(np.iinfo(weight).min, weight)], axis=-1, opset=13)
        info = np.iinfo(weight)
        every = np.arange(info.min, info.max + 1).astype(weight)
        pairs = np.repeat(every[:, None], 256, 1), np.repeat(every[None], 256, 0)
        for op, scale in (("QLinearAdd", 0.031), ("QLinearMul", 0.07), ("QLinearAdd", 0.0426), ("QLinearMul", 0.0127)):
            yield Case(op, [pairs[0], number(0.0213), number(5, weight), pairs[1],
                            number(0.0127), number(11, weight), number(scale), number(2, weight)])
        for scales, zeros in (((0.5, 1 / 255, 0.5), (5, 11, 3)), ((0.004365809, 0.040461004, 0.043668788), (127, 106, 105)),
                              ((0.043668788, 0.033774935, 0.05768459), (105, 36, 106))):
            for op in ("QLinearAdd", "QLinearMul"):
                pair = zip((pairs[0], every, None), scales, zeros, strict=True)
                yield Case(op, [part for array, scale, zero in pair
                                for part in (array, number(scale), number(zero, weight)) if part is not None])


def refused_cases():
    x = floats(2, 5, 16)
    yield Case("Attention", [x, floats(16, 48), floats(48)], constants=(1, 2), num_heads=2, unidirectional=1)
    yield Case("FusedGemm", [floats(4, 6), floats(6, 5)], activation="LeakyRelu", activation_alpha=0.1)
    yield Case("QuickGelu", [x])


def problem(case, want, got, data):
    if NAMES[want.dtype] != got["dtype"] or list(want.shape) != got["shape"]:
        return f"expected {NAMES[want.dtype]}{list(want.shape)}, got {got['dtype']}{got['shape']}"
    have = np.frombuffer(data, want.dtype, want.size, got["offset"]).reshape(want.shape).astype(np.float64)
    difference = np.abs(have - want.astype(np.float64))
    if want.dtype.kind == "f":
        fits = difference.max() <= 1e-5 * max(1, np.abs(want).max())
    else:
        is_exact = case.model.graph.node[0].op_type in EXACT
        fits = difference.max() <= (0 if is_exact else 1) and np.mean(difference != 0) <= 0.01
    return None if fits else f"{difference.max()} apart: expected {want.ravel()[:6]}, got {have.ravel()[:6]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    known = [*attention_cases(), *float_cases(), *quantized_cases()]
    refused = list(refused_cases())
    expected = [case.with_types() for case in known]
    for case in refused:
        for output in case.model.graph.output:
            output.CopyFrom(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, None))
    results, data = run(arguments.program, arguments.directory, known + refused)
    failures = []
    for case, want, result in zip(known, expected, results, strict=False):
        found = result.get("error") or [p for n, w in want.items() if (p := problem(case, w, result["outputs"][n], data))]
        if found:
            failures.append(f"{case.name}: {found}")
    for case, result in zip(refused, results[len(known):], strict=True):
        error = result.get("error", "")
        op = case.model.graph.node[0].op_type
        if result.get("code") != "unsupported" or "'the_node'" not in error or f"com.microsoft.{op}" not in error:
            failures.append(f"{case.name}: expected a refusal that names it, got {json.dumps(result)}")
    print("\n".join(failures))
    print(f"{len(known)} cases agree with ONNX Runtime and {len(refused)} are refused, but for {len(failures)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
