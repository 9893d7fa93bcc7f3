#!/usr/bin/env python3
"""Runs ONNX's own operator cases through the interpreter: run_operator_cases.py PROGRAM DIRECTORY [--verbose]

PROGRAM (laconic_run_operator_cases) runs the nodes of onnx.backend.test.case.node.collect_testcases that have one of
our operators and only element types that we have. DIRECTORY takes what is handed to and fro.
"""
import argparse
import json
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

DTYPES = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "s64": np.int64,
          "s32": np.int32, "s16": np.int16, "s8": np.int8, "u8": np.uint8, "bool": np.bool_}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
ELEMENTS = {onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)): name for name, dtype in DTYPES.items()}
EXACT = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearMatMul", "MatMulInteger"}


class Skip(Exception):
    """The case needs an element type or a container that we do not have."""


def to_array(value):
    if isinstance(value, TensorProto):
        value = numpy_helper.to_array(value)
    if not isinstance(value, np.ndarray | np.generic) or np.asarray(value).dtype not in NAMES:
        raise Skip(f"element type {getattr(value, 'dtype', type(value).__name__)}")
    return np.asarray(value)


class Cases:
    def __init__(self):
        self.data = bytearray()
        self.nodes, self.cases = [], []

    def tensor(self, value):
        array = to_array(value)
        offset = len(self.data)
        self.data += array.tobytes()
        return {"dtype": NAMES[array.dtype], "shape": list(array.shape), "offset": offset}

    def add(self, case, node, inputs, outputs):
        attributes = {}
        for attribute in node.attribute:
            value = onnx.helper.get_attribute_value(attribute)
            if attribute.name in ("to", "output_dtype", "softmax_precision"):
                if value not in ELEMENTS:
                    raise Skip(f"element type {TensorProto.DataType.Name(value)}")
                value = ELEMENTS[value]
            if isinstance(value, bytes):
                value = value.decode()
            attributes[attribute.name] = value
        given = dict(zip([i.name for i in case.model.graph.input], inputs, strict=True))
        expected = dict(zip([o.name for o in case.model.graph.output], outputs, strict=True))
        named = [None if not name else self.tensor(given[name]) for name in node.input]
        for value in expected.values():
            to_array(value)
        self.nodes.append({"op": node.op_type, "attributes": attributes, "inputs": named,
                           "outputs": [bool(name) for name in node.output]})
        self.cases.append((case, node, expected))


def collect(ops):
    from onnx.backend.test.case.node import collect_testcases
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = collect_testcases(None)
    cases, skipped = Cases(), []
    for case in found:
        node = case.model.graph.node[0]
        if len(case.model.graph.node) != 1 or node.op_type not in ops or "_expanded" in case.name:
            continue
        try:
            for inputs, outputs in case.data_sets:
                cases.add(case, node, inputs, outputs)
        except Skip as reason:
            skipped.append((node.op_type, case.name, str(reason)))
    return cases, skipped


def compare(case, node, expected, result, data):
    if "error" in result:
        return result["error"]
    by_name = dict(zip(node.output, result["outputs"], strict=True))
    for name, value in expected.items():
        want = to_array(value)
        got = by_name[name]
        if NAMES[want.dtype] != got["dtype"] or list(want.shape) != got["shape"]:
            return f"{name}: expected {NAMES[want.dtype]}{list(want.shape)}, got {got['dtype']}{got['shape']}"
        have = np.frombuffer(data, DTYPES[got["dtype"]], want.size, got["offset"]).reshape(want.shape)
        if want.dtype.kind in "iub" or node.op_type in EXACT:
            if not np.array_equal(want, have):
                return f"{name}: expected {want.ravel()[:8]}, got {have.ravel()[:8]}"
        else:
            wide = np.float64
            if not np.allclose(have.astype(wide), want.astype(wide), rtol=case.rtol, atol=case.atol, equal_nan=True):
                error = np.abs(have.astype(wide) - want.astype(wide))
                return f"{name}: off by up to {np.nanmax(error)}: expected {want.ravel()[:6]}, got {have.ravel()[:6]}"
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--ops", type=Path, required=True, help="file with an operator a line")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    directory = arguments.directory
    directory.mkdir(parents=True, exist_ok=True)
    cases, skipped = collect(set(arguments.ops.read_text(encoding="utf-8").split()))
    (directory / "cases.json").write_text(json.dumps(cases.nodes), encoding="utf-8")
    (directory / "data").write_bytes(cases.data)
    subprocess.run([arguments.program, directory / "cases.json", directory / "data", directory / "results.json",
                    directory / "results_data"], check=True)
    results = json.loads((directory / "results.json").read_text(encoding="utf-8"))
    data = (directory / "results_data").read_bytes()
    passed, failures = Counter(), []
    for (case, node, expected), result in zip(cases.cases, results, strict=True):
        problem = compare(case, node, expected, result, data)
        if problem:
            failures.append(f"{node.op_type}: {case.name}: {problem}")
        else:
            passed[node.op_type] += 1
    if arguments.verbose:
        for op, name, reason in skipped:
            print(f"skipped {op}: {name}: {reason}")
    print("\n".join(failures))
    print(f"{sum(passed.values())} cases of {len(passed)} operators pass, {len(failures)} fail, {len(skipped)} skipped")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
