#!/usr/bin/env python3
"""Checks exported ONNX files with onnx.checker and ONNX Runtime: check_examples.py EXAMPLES_PROGRAM DIRECTORY

EXAMPLES_PROGRAM (laconic_export_examples) writes small models into DIRECTORY, at each opset, with each graph's text and
weights. Here NumPy computes every node of the text once more, from the inputs that ONNX Runtime gave that node:
 - float values agree within 1e-5 (f32 rounding of sums of 24 products; largest value about 10),
 - codes of a quantization, and linears on them, agree exactly: integer sums, then single f32 operations,
 - attention on INT8 codes too, but for queries with a weight on a tie, where the last bits of exp decide,
 - with token_type_ids left out the answers are those of zeros,
 - with ONNX Runtime's optimizations, which fuse and reorder float operations, logits stay within the bounds below,
 - a text that is masked throughout gives finite numbers.
Exits with 1 and the differences if something does not hold, with 77 (skipped) where a package is missing.
"""
import math
import re
import subprocess
import sys
from pathlib import Path

try:
    import ml_dtypes
    import numpy as np
    import onnx
    import onnxruntime as ort
    from exact_session import exact_session
except ImportError as missing:
    print(f"check_examples: skipped: {missing}")
    sys.exit(77)

DTYPES = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "s64": np.int64, "s8": np.int8,
          "u8": np.uint8}
F32 = np.float32
# Rounding differences upstream can move a code by one step, about 1/255 of a row's range.
OPTIMIZED_BOUND = {"dynamic": 5e-2, "tensor": 5e-2, "static": 5e-2, "other": 2e-5}


class Graph:
    """The text form: inputs, constants (with their elements), nodes in order."""

    def __init__(self, stem):
        weights = Path(f"{stem}.weights").read_bytes()
        self.constants, self.nodes, self.inputs = {}, [], []
        at = 0
        for line in Path(f"{stem}.graph").read_text(encoding="utf-8").splitlines():
            words = line.split()
            if words[0] == "input":
                self.inputs.append(words[1].rstrip(":"))
            elif words[0] == "const":
                name, dtype, shape = re.match(r"const (\S+): (\w+)\[(.*)\]", line).groups()
                shape = [int(size) for size in shape.split(",") if size]
                value = np.frombuffer(weights, DTYPES[dtype], int(np.prod(shape)), at).reshape(shape)
                at += value.nbytes
                self.constants[name] = value
            elif words[0] != "output":
                name, op, inputs, attributes = re.match(
                    r"(\S+) = ([\w.]+)\(([^)]*)\)(?: \{(.*)\})?: ", line).groups()
                pairs = re.findall(r'(\w+) = ("[^"]*"|[^,]+)', attributes or "")
                self.nodes.append((name, op, inputs.split(", "), {k: v.strip('"') for k, v in pairs}))
        assert at == len(weights)


def quantize(x):
    """docs/numerics.md, operation by operation: codes, scale, zero point of each row."""
    low = np.minimum(x.min(-1, keepdims=True), F32(0))
    high = np.maximum(x.max(-1, keepdims=True), F32(0))
    scale = np.maximum((high - low) / F32(255), F32(1e-12))
    zero = np.rint((F32(0) - low) / scale)
    codes = np.clip(np.rint(x * (F32(1) / scale)) + zero, F32(0), F32(255))
    return codes.astype(np.uint8), scale, zero.astype(np.int32)


def quantize_linear(x, scale, zero):
    """ONNX's QuantizeLinear, as whole numbers."""
    info = np.iinfo(zero.dtype)
    return np.clip(np.rint(x / scale) + F32(zero), F32(info.min), F32(info.max)).astype(np.int32)


def quantize_tensor(x):
    """ONNX's DynamicQuantizeLinear: codes, scale, zero point."""
    low, high = np.minimum(x.min(), F32(0)), np.maximum(x.max(), F32(0))
    scale = (high - low) / F32(255)
    zero = np.rint(np.clip(F32(0) - low / scale, F32(0), F32(255))).astype(np.uint8)
    return quantize_linear(x, scale, zero), scale, zero.astype(np.int32)


erf = np.vectorize(math.erf)


def attention(q, k, v, mask, heads, scale):
    def split(x):
        return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3).astype(np.float64)
    scores = np.where(mask, split(q) @ split(k).swapaxes(2, 3) * scale, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    context = weights / weights.sum(-1, keepdims=True) @ split(v)
    return context.transpose(0, 2, 1, 3).reshape(q.shape)


def symmetric(x, axis):
    """docs/numerics.md, "INT8 attention": codes and steps of the vectors along an axis."""
    step = np.maximum(np.abs(x).max(axis, keepdims=True) / F32(127), F32(1e-12))
    return np.rint(x * (F32(1) / step)).astype(np.int32), step


def int8_attention(q, k, v, mask, heads, scale):
    """docs/numerics.md, operation by operation. NaN where a weight is so close to a tie that exp's last bits decide."""
    def split(x):
        return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)
    (q_codes, q_step), (k_codes, k_step) = symmetric(split(q), -1), symmetric(split(k), -1)
    v_codes, v_step = symmetric(np.where(mask.swapaxes(2, 3), split(v), F32(0)), -2)
    scores = (q_codes @ k_codes.swapaxes(2, 3)).astype(F32) * (q_step * F32(scale)) * k_step.swapaxes(2, 3)
    scores = np.where(mask, scores, np.finfo(F32).min)
    shares = np.exp(scores - scores.max(-1, keepdims=True)) * F32(255)
    weights = np.rint(shares).astype(np.int32)
    inv_sum = F32(1) / weights.sum(-1, keepdims=True).astype(F32)
    context = (weights @ v_codes).astype(F32) * inv_sum * v_step
    context[(np.abs(shares % 1 - 0.5) < 1e-4).any(-1)] = np.nan
    return context.transpose(0, 2, 1, 3).reshape(q.shape)


def linear(x, w, bias):
    """x: floats, or what quantize() gives; w: floats, or (codes, scales)."""
    if not isinstance(x, tuple):
        w = w if isinstance(w, np.ndarray) else w[0].astype(F32) * w[1]
        y = x.astype(np.float64) @ w
        return y if bias is None else y + bias
    codes, scale, zero = x
    sums = codes.astype(np.int32) @ w[0].astype(np.int32) - zero * w[0].astype(np.int32).sum(0, dtype=np.int32)
    # One scale for all rows is multiplied with the weight's first.
    y = sums.astype(F32) * (scale * w[1]) if scale.ndim == 0 else sums.astype(F32) * scale * w[1]
    return y if bias is None else y + bias


def compute(op, args, attributes):
    """The meaning of one node of the graph. DequantizeLinear stays integers for whoever reads it: a constant (codes
    less zero points, scales), rows (codes, scale, zero point)."""
    x = args[0]
    if op == "Add":
        return x + args[1]
    if op == "Cast":
        return x.astype(F32)
    if op == "DequantizeLinear" and "block_size" in attributes:
        return x, np.repeat(args[1], int(attributes["block_size"]), 1)
    if op == "DequantizeLinear" and x.dtype == np.int32:
        return x, args[1], args[2].astype(np.int32)
    if op == "DequantizeLinear":
        codes = x if len(args) < 3 else x.astype(np.int32) - args[2].astype(np.int32)
        return codes, args[1] if attributes.get("axis") != "0" else args[1][:, None]
    if op == "QuantizeLinear":
        return quantize_linear(*args)
    if op == "Mul":
        return x * args[1]
    if op == "Gather":
        if isinstance(x, tuple):
            return x[0][args[1]].astype(F32) * x[1][args[1]]
        return np.take(x, args[1], int(attributes.get("axis", 0)))
    if op == "Gelu":
        d = x.astype(np.float64)
        inner = np.tanh(np.sqrt(2 / np.pi) * (d + 0.044715 * d**3)) if attributes else erf(d / np.sqrt(2))
        return d * 0.5 * (1 + inner)
    if op == "LayerNormalization":
        d = x.astype(np.float64)
        d = (d - d.mean(-1, keepdims=True)) / np.sqrt(d.var(-1, keepdims=True) + float(attributes["epsilon"]))
        return d * args[1] + args[2]
    if op == "Attention":
        return attention(*args, int(attributes["q_num_heads"]), float(attributes["scale"]))
    if op == "laconic.Int8Attention":
        return int8_attention(*args, int(attributes["num_heads"]), float(attributes["scale"]))
    if op == "laconic.Linear":
        return linear(x, args[1], args[2] if len(args) > 2 else None)
    if op == "laconic.DynamicQuantize":
        return quantize_tensor(x) if attributes.get("granularity") == "tensor" else quantize(x)
    if op == "laconic.Positions":
        return np.arange(x.shape[1])[None] + int(attributes.get("offset", 0))
    if op == "laconic.KeyMask":
        return (x != 0)[:, None, None]
    if op == "laconic.MeanPool":
        kept = (args[1] != 0)[:, :, None]
        return (x.astype(np.float64) * kept).sum(1) / kept.sum(1)
    return {"Tanh": np.tanh, "Relu": lambda a: np.maximum(a, 0)}[op](x)


def session(model, optimized):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    # 4, the default, quantizes the activations of a MatMul with 8-bit weights behind their DequantizeLinear.
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return exact_session(model, options)


def check_nodes(graph, path, feeds):
    """Problems of single nodes: each is computed from what ONNX Runtime gave its inputs."""
    model = onnx.load(path)
    computed = {name for node in model.graph.node for name in node.output}
    names = [name for name, *_ in graph.nodes if name in computed]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    values = dict(zip(names, session(model, False).run(names, feeds)))
    values.update(feeds, **graph.constants)
    for name, op, inputs, attributes in graph.nodes:
        wanted = compute(op, [values[i] for i in inputs], attributes)
        got = values.get(name)
        values.setdefault(name, wanted)
        exact = op in ("laconic.DynamicQuantize", "laconic.Positions", "laconic.KeyMask", "Cast", "QuantizeLinear", "Mul")
        if op == "QuantizeLinear":
            values[name] = wanted
        elif op == "laconic.DynamicQuantize":
            values[name], wanted = wanted, wanted[0]
        elif op == "laconic.Int8Attention":
            exact, wanted = True, np.where(np.isnan(wanted), got, wanted)
        elif op == "laconic.Linear":
            exact = isinstance(values[inputs[0]], tuple)
        elif op == "DequantizeLinear" and got is not None:
            codes = wanted[0] if len(wanted) == 2 else wanted[0] - wanted[2]
            wanted = codes.astype(F32) * wanted[1]
        if got is None:
            continue
        error = np.abs(got.astype(np.float64) - wanted).max() if got.shape == np.shape(wanted) else np.inf
        if not error <= (0 if exact else 1e-5):
            yield f"{name} ({op}): differs by {error}"


def check_model(graph, path, kind):
    """Problems of one file."""
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(path, load_external_data=False)
    if {node.domain for node in model.graph.node} | {o.domain for o in model.opset_import} != {""}:
        yield "custom operators"
    rng = np.random.default_rng(5)
    optimized = session(str(path), True)
    plain = session(str(path), False)
    for batch, length in ((1, 1), (3, 7), (2, 24)):
        mask = (np.arange(length) < rng.integers(1, length + 1, (batch, 1))).astype(np.int64)
        feeds = {"input_ids": rng.integers(0, 40, (batch, length)), "attention_mask": mask,
                 "token_type_ids": rng.integers(0, 2, (batch, length))}
        feeds = {name: value for name, value in feeds.items() if name in graph.inputs}
        where = f"batch {batch}, length {length}: "
        yield from (where + problem for problem in check_nodes(graph, path, feeds))
        bound = OPTIMIZED_BOUND.get(kind, OPTIMIZED_BOUND["other"])
        error = np.abs(optimized.run(None, feeds)[0] - plain.run(None, feeds)[0]).max()
        if not error <= bound:
            yield f"{where}optimizations change the logits by {error}"
        zeros = {name: np.zeros_like(mask) if name == "token_type_ids" else value for name, value in feeds.items()}
        left_out = {name: feeds[name] for name in ("input_ids", "attention_mask")}
        for runner in (plain, optimized):
            if not np.array_equal(runner.run(None, zeros)[0], runner.run(None, left_out)[0]):
                yield f"{where}token_type_ids left out is not the same as zeros"
        if not np.isfinite(optimized.run(None, dict(feeds, attention_mask=np.zeros_like(mask)))[0]).all():
            yield f"{where}a text without tokens gives numbers that are not finite"


def main():
    if len(sys.argv) != 3:
        print(__doc__.splitlines()[0])
        return 2
    directory = Path(sys.argv[2])
    subprocess.run([sys.argv[1], str(directory)], check=True)
    num_files = num_problems = 0
    for text in sorted(directory.glob("*.graph")):
        graph = Graph(text.with_suffix(""))
        for path in sorted([*directory.glob(f"{text.stem}_[0-9][0-9].onnx"),
                            *directory.glob(f"{text.stem}_[0-9][0-9]_qoperator.onnx")]):
            num_files += 1
            for problem in check_model(graph, path, text.stem.split("_")[0]):
                num_problems += 1
                print(f"{path.name}: {problem}")
    print(f"check_examples: {num_files} files, {num_problems} problems")
    return 1 if num_problems or not num_files else 0


if __name__ == "__main__":
    sys.exit(main())
