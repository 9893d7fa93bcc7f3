#!/usr/bin/env python3
"""Runs ONNX's own operator cases: run_operator_cases.py PROGRAM DIRECTORY [--write]

PROGRAM (laconic_run_operator_cases) reads each case's model and runs it in the interpreter. The cases are those of
onnx.backend.test.case.node.collect_testcases for the operators that PROGRAM lists and those that become such while a
file is read. A case counts against an operator's claim unless
 - it has an element type that no graph of ours has (strings, u16, u32, u64, under 8 bits, f8, sequences), or
 - it is in NOT_CLAIMED, with the reason.
Every other case must agree with ONNX's answer: integers, booleans and all of EXACT exactly, floats within the case's
own tolerance (ONNX's: 1e-3 relative, 1e-7 absolute). docs/operators.md must hold exactly the table that results;
--write puts it there. DIRECTORY takes what is handed to and fro.
"""
import argparse
import json
import re
import subprocess
import sys
import warnings
from collections import Counter, defaultdict
from pathlib import Path

try:
    import ml_dtypes
    import numpy as np
    import onnx
    from onnx import TensorProto, numpy_helper
except ImportError as missing:
    print(f"run_operator_cases: skipped: {missing}")
    sys.exit(77)

DTYPES = {"f32": np.float32, "f64": np.float64, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "s64": np.int64,
          "s32": np.int32, "s16": np.int16, "s8": np.int8, "u8": np.uint8, "bool": np.bool_}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
ELEMENTS = {onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)): name for name, dtype in DTYPES.items()}
EXACT = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearMatMul", "MatMulInteger"}
# Rewritten while a file is read; their operators are not in the graph.
READ_AS_OTHERS = {"CastLike", "Constant", "ConstantOfShape", "Dropout"}
OLDEST_OPSET = 11  # that is read
NOT_CLAIMED = (
    ("test_training_dropout", "what a model drops while it is trained"),
    ("test_attention_.*bf16", "ONNX rounds to bf16 after each step, we once: 2^-8 apart"),
)
TABLE = Path("docs/operators.md")
MARK = "<!-- made by tools/onnx/run_operator_cases.py --write -->\n"


class Skip(Exception):
    """The case needs an element type or a container that no graph of ours has."""


def to_array(value):
    if isinstance(value, TensorProto):
        value = numpy_helper.to_array(value)
    if not isinstance(value, np.ndarray | np.generic) or np.asarray(value).dtype not in NAMES:
        raise Skip(f"element type {getattr(value, 'dtype', type(value).__name__)}")
    return np.asarray(value)


class Case:
    def __init__(self, case, inputs, outputs):
        self.model, self.name, self.rtol, self.atol = case.model, case.name, case.rtol, case.atol
        self.node = case.model.graph.node[0]
        # A case of an operator that has not changed since says so with an opset of long ago.
        opset = self.model.opset_import[0]
        if opset.version < OLDEST_OPSET:
            since = onnx.defs.get_schema(self.node.op_type, OLDEST_OPSET).since_version
            opset.version = OLDEST_OPSET if since <= opset.version else opset.version
        for attribute in self.node.attribute:
            if attribute.name in ("to", "output_dtype", "softmax_precision", "dtype") and attribute.i not in ELEMENTS:
                raise Skip(f"element type {TensorProto.DataType.Name(attribute.i)}")
        self.inputs = {i.name: to_array(v) for i, v in zip(case.model.graph.input, inputs, strict=True)}
        self.expected = {o.name: to_array(v) for o, v in zip(case.model.graph.output, outputs, strict=True)}

    @property
    def dtypes(self):
        return {NAMES[a.dtype] for a in [*self.inputs.values(), *self.expected.values()]}

    def is_claimed(self):
        return not any(re.match(pattern, self.name) for pattern, _ in NOT_CLAIMED)

    def problem(self, outputs, data):
        for name, want in self.expected.items():
            got = outputs[name]
            if NAMES[want.dtype] != got["dtype"] or list(want.shape) != got["shape"]:
                return f"{name}: expected {NAMES[want.dtype]}{list(want.shape)}, got {got['dtype']}{got['shape']}"
            have = np.frombuffer(data, want.dtype, want.size, got["offset"]).reshape(want.shape)
            if want.dtype.kind in "iub" or self.node.op_type in EXACT:
                same = np.array_equal(want, have)
            else:
                same = np.allclose(have.astype(np.float64), want.astype(np.float64), rtol=self.rtol, atol=self.atol,
                                   equal_nan=True)
            if not same:
                return f"{name}: expected {want.ravel()[:6]}, got {have.ravel()[:6]}"
        return None


def collect(ops):
    from onnx.backend.test.case.node import collect_testcases
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # overflows that the cases are about
        found = collect_testcases(None)
    cases, num_skipped = [], 0
    for case in found:
        nodes = case.model.graph.node
        if len(nodes) != 1 or nodes[0].domain or nodes[0].op_type not in ops or "_expanded" in case.name:
            continue
        try:
            cases += [Case(case, inputs, outputs) for inputs, outputs in case.data_sets]
        except Skip:
            num_skipped += 1
    return cases, num_skipped


def run(program, directory, cases):
    data, index = bytearray(), []
    for i, case in enumerate(cases):
        path = directory / f"{i}.onnx"
        onnx.save(case.model, path)
        inputs = {}
        for name, array in case.inputs.items():
            inputs[name] = {"dtype": NAMES[array.dtype], "shape": list(array.shape), "offset": len(data)}
            data += array.tobytes()
        index.append({"model": str(path), "inputs": inputs})
    (directory / "cases.json").write_text(json.dumps(index), encoding="utf-8")
    (directory / "data").write_bytes(data)
    subprocess.run([program, directory / "cases.json", directory / "data", directory / "results.json",
                    directory / "results_data"], check=True)
    return (json.loads((directory / "results.json").read_text(encoding="utf-8")),
            (directory / "results_data").read_bytes())


def table(ops, passed, dtypes):
    def names(op):
        return ", ".join(name for name in DTYPES if name in dtypes[op])
    lines = [f"| {op} | {names(op)} | {passed[op]} |\n" for op in sorted(ops)]
    head = "| operator | element types in the cases | cases passed |\n|---|---|---|\n"
    return head + "".join(lines) + f"\n{sum(passed.values())} cases of {len(ops)} operators.\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    listed = subprocess.run([arguments.program, "--list"], check=True, capture_output=True, text=True).stdout.split()
    ops = {op for op in listed if not op.startswith("laconic.")} | READ_AS_OTHERS
    cases, num_skipped = collect(ops)
    results, data = run(arguments.program, arguments.directory, cases)
    passed, dtypes, failures, num_left_out = Counter(), defaultdict(set), [], 0
    for case, result in zip(cases, results, strict=True):
        op = case.node.op_type
        if not case.is_claimed():
            num_left_out += 1
            continue
        problem = result.get("error") or case.problem(result["outputs"], data)
        if problem is None:
            passed[op] += 1
            dtypes[op] |= case.dtypes
        else:
            failures.append(f"{op}: {case.name}: {problem}")
    failures += [f"{op}: no case passed" for op in sorted(ops) if passed[op] == 0]
    text = TABLE.read_text(encoding="utf-8") if TABLE.exists() else MARK
    wanted = text[:text.index(MARK)] + MARK + table(ops, passed, dtypes)
    if arguments.write:
        TABLE.write_text(wanted, encoding="utf-8")
    elif text != wanted:
        failures.append(f"{TABLE} differs from what was found; run tools/onnx/run_operator_cases.py --write")
    print("\n".join(failures))
    print(f"{sum(passed.values())} cases pass, {len(failures)} problems; {num_left_out} not claimed, {num_skipped} of element "
          "types that no graph has")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
