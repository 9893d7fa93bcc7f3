#!/usr/bin/env python3
"""Hunts silent wrong answers: fuzz_graphs.py PROGRAM [--mutants 1000] [--seed 0] [--files F ...] [--keep DIR]

Each mutant is one of FILES (tests/data/onnx and whatever is given) after one to three random changes of meaning: an
attribute, an element or the shape of a constant, an operator for its like, a node's inputs swapped, moved to another
value or left out, an operator put on an edge, a second reader of a value, another mask on the scores, sizes of inputs
fixed or renamed. Where onnx.checker and ONNX Runtime (without its optimizations) take it, PROGRAM
(laconic_run_encodings) runs it on texts of random token ids and of different lengths in one batch; ONNX Runtime runs
each text alone, which is what a file says. PROGRAM must give the same logits or say why it does not.

Printed of each finding: the seed that makes that mutant alone (--seed S --mutants 1, with the same --files), its file,
what was changed, what differs. A crash, an internal error, and a timeout are findings too; refusals are counted by
their message. A float file's logits must agree within 1e-4 of the largest logit; where codes take part, within what
ONNX Runtime's own optimizations, or a change of float constants by 1e-6, make of them (five times that, and at least
2 %: a code on a border may still show). --keep saves each finding's file. Exits with 1 if anything was found; with 77
without ONNX Runtime. Known to differ: a text without a key to attend to gives zeros here (docs/numerics.md).
"""
import argparse
import collections
import json
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import numpy as np
    import onnx
    import onnxruntime as ort
    from exact_session import exact_session
    from onnx import TensorProto, helper, numpy_helper
except ImportError as missing:
    print(f"fuzz_graphs: skipped: {missing}")
    sys.exit(77)

import compare_foreign as foreign

ort.set_default_logger_severity(4)
LENGTHS = (7, 1, 2, 12, 5)  # the first tells the types of values
FLOAT_BOUND, CODES_BOUND = 1e-4, 2e-2
LIKE = [("Add", "Sub", "Mul", "Div", "Max", "Min"), ("Erf", "Tanh", "Sigmoid", "Relu", "Softsign", "Gelu"),
        ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"), ("Softmax", "LogSoftmax", "Hardmax"),
        ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual"), ("And", "Or", "Xor"), ("Sqrt", "Abs", "Neg"),
        ("FastGelu", "Gelu", "QuickGelu")]
UNARY = ("Identity", "Neg", "Relu", "Abs", "Tanh", "Sigmoid", "Softmax", "Erf", "Sqrt")


class Mutant:
    """A copy of a model, the types of its values, and what was done to it."""

    def __init__(self, model, types, rng):
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.graph, self.types, self.rng, self.notes, self.count = self.model.graph, types, rng, [], 0
        self.opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 17)

    def new_name(self):
        self.count += 1
        return f"fuzz_{len(self.notes)}_{self.count}"

    def constant(self, values, dtype=np.float32):
        name = self.new_name()
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def insert(self, at, op, inputs, **attributes):
        """A node before number `at`."""
        out = self.new_name()
        self.graph.node.insert(at, helper.make_node(op, inputs, [out], name=out, **attributes))
        return out

    def pick_edge(self, dtype=np.float32, rank=None):
        """A node's number and that of an input whose type is known."""
        edges = [(n, i) for n, node in enumerate(self.graph.node) for i, name in enumerate(node.input)
                 if name in self.types and (dtype is None or self.types[name][0] == dtype)
                 and (rank is None or len(self.types[name][1]) == rank)]
        return self.rng.choice(edges)

    def constants(self):
        """Initializers and the values of Constant nodes, by name."""
        found = {tensor.name: tensor for tensor in self.graph.initializer}
        for node in self.graph.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
                found[node.output[0]] = node.attribute[0].t
        return found


def change_attribute(m):
    node, a = m.rng.choice([(node, a) for node in m.graph.node if node.op_type != "Constant" for a in node.attribute
                            if a.type in (a.INT, a.INTS, a.FLOAT)])
    before = helper.get_attribute_value(a)
    if a.type == a.INT:
        a.i = m.rng.choice([a.i + 1, a.i - 1, -a.i, 0, 1, 1 - a.i])
    elif a.type == a.FLOAT:
        a.f = m.rng.choice([a.f * 1.5, a.f * 100, -a.f, 0.0, a.f + 0.5])
    elif a.ints:
        ints = list(a.ints)
        i = m.rng.randrange(len(ints))
        if m.rng.random() < 0.5:
            m.rng.shuffle(ints)
        else:
            ints[i] += m.rng.choice([-1, 1])
        a.ints[:] = ints
    return f"{node.op_type} {node.output[0]}: {a.name} {before} -> {helper.get_attribute_value(a)}"


def remove_attribute(m):
    node = m.rng.choice([node for node in m.graph.node if node.op_type != "Constant" and node.attribute])
    a = m.rng.choice(list(node.attribute))
    node.attribute.remove(a)
    return f"{node.op_type} {node.output[0]}: without {a.name}"


def change_constant(m):
    constants = m.constants()
    small = [name for name, t in constants.items() if np.prod(t.dims) <= 8]
    name = m.rng.choice(small if small and m.rng.random() < 0.6 else list(constants))
    tensor = constants[name]
    value = numpy_helper.to_array(tensor).copy()
    before = value.ravel()[:4].tolist()
    i = m.rng.randrange(max(1, value.size))
    which = m.rng.randrange(4)
    flat = value.reshape(-1)
    with np.errstate(all="ignore"):
        if value.dtype == bool:
            flat[i] = not flat[i]
        elif np.issubdtype(value.dtype, np.integer):
            flat[i] = [flat[i] + value.dtype.type(1), flat[i] - value.dtype.type(1), 0, 1][which]
        elif which == 0:
            flat[:] = flat * value.dtype.type(m.rng.choice([-1, 2, 0.5, 10]))
        else:
            flat[i] = value.dtype.type([0, -flat[i], flat[i] * 1.5 + 0.25][which - 1])
    tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    return f"constant {name} {list(value.shape)}: {before} -> {value.ravel()[:4].tolist()} at {i}"


def reshape_constant(m):
    constants = m.constants()
    name = m.rng.choice([n for n, t in constants.items() if len(t.dims) < 2])
    value = numpy_helper.to_array(constants[name])
    before = list(value.shape)
    if value.size == 1:
        width = m.rng.choice([1, 1, 32, 32, 2, 16, 64])
        shape = m.rng.choice([(), (1,), (1, 1), (1, 1, 1), (1, 1, 1, 1)])
        value = value.reshape(shape)
        if width > 1:
            value = np.repeat(value.reshape((1,) * max(0, len(shape) - 1) + (1,)), width, -1)
            if np.issubdtype(value.dtype, np.floating):
                value = (value * np.linspace(1, 2, width)).astype(value.dtype)
    else:
        value = value.reshape(m.rng.choice([(1, -1), (1, 1, -1), (-1, 1)]))
    constants[name].CopyFrom(numpy_helper.from_array(value, constants[name].name))
    return f"constant {name}: {before} -> {list(value.shape)}"


def transpose_weight(m):
    constants = {n: t for n, t in m.constants().items() if len(t.dims) == 2}
    name = m.rng.choice(list(constants))
    value = numpy_helper.to_array(constants[name])
    right = value.T if m.rng.random() < 0.7 else value
    stored = m.constant(np.ascontiguousarray(right), value.dtype)
    out = m.insert(0, "Transpose", [stored], perm=[1, 0])
    for node in m.graph.node:
        node.input[:] = [out if i == name else i for i in node.input]
    return f"weight {name} {list(value.shape)} behind a Transpose" + ("" if right is not value else ", transposed")


def replace_operator(m):
    node, ops = m.rng.choice([(node, ops) for node in m.graph.node for ops in LIKE if node.op_type in ops])
    before, node.op_type = node.op_type, m.rng.choice([op for op in ops if op != node.op_type])
    return f"{before} {node.output[0]} -> {node.op_type}"


def swap_inputs(m):
    node = m.rng.choice([node for node in m.graph.node if len(node.input) > 1])
    i, j = m.rng.sample(range(len(node.input)), 2)
    node.input[i], node.input[j] = node.input[j], node.input[i]
    return f"{node.op_type} {node.output[0]}: inputs {i} and {j} swapped"


def rewire(m):
    """To another value or constant of the same type, made before."""
    n, i = m.pick_edge(None)
    node = m.graph.node[n]
    before = node.input[i]
    earlier = {name for earlier in m.graph.node[:n] for name in earlier.output} | {v.name for v in m.graph.input}
    earlier |= {t.name for t in m.graph.initializer}
    same = sorted(name for name in earlier if name != before and m.types.get(name) == m.types[before])
    node.input[i] = m.rng.choice(same[-12:] if m.rng.random() < 0.5 else same)
    return f"{node.op_type} {node.output[0]}: input {i} {before} -> {node.input[i]}"


def bypass(m):
    n = m.rng.randrange(len(m.graph.node))
    node = m.graph.node[n]
    same = [i for i in node.input if m.types.get(i) == m.types.get(node.output[0])]
    by = m.rng.choice(same)
    for other in m.graph.node:
        if other is not node:
            other.input[:] = [by if i == node.output[0] else i for i in other.input]
    return f"{node.op_type} {node.output[0]} passed by: {by}"


def drop_input(m):
    node = m.rng.choice([node for node in m.graph.node if len(node.input) > 2])
    i = m.rng.randrange(2, len(node.input))
    before, node.input[i] = node.input[i], ""
    while node.input and not node.input[-1]:
        del node.input[-1]
    return f"{node.op_type} {node.output[0]}: without input {i} {before}"


def wrap(m):
    """An operator, or several that cancel out or do not, on one edge."""
    n, i = m.pick_edge()
    node = m.graph.node[n]
    x = node.input[i]
    shape = m.types[x][1]
    rank, width = len(shape), shape[-1] if shape else 1
    kind = m.rng.choice(["unary", "unary", "clip", "cast", "cast16", "transpose", "transposes", "reshape", "scale",
                         "shift", "column", "qdq", "qdq", "slice", "flip", "unsqueeze", "expand", "gate", "rows",
                         "mean", "mean", "mean"])
    if kind == "unary":
        op = m.rng.choice(UNARY)
        out, kind = m.insert(n, op, [x]), op
    elif kind == "clip":
        bounds = [m.constant(m.rng.choice([-0.5, 0.0, -1e9])), m.constant(m.rng.choice([0.5, 1.0]))]
        out = m.insert(n, "Clip", [x, *bounds])
    elif kind in ("cast", "cast16"):
        to = TensorProto.DOUBLE if kind == "cast" else m.rng.choice([TensorProto.FLOAT16, TensorProto.INT32,
                                                                     TensorProto.INT64, TensorProto.BOOL])
        out = m.insert(n, "Cast", [x], to=to)
        out, kind = m.insert(n + 1, "Cast", [out], to=TensorProto.FLOAT), f"cast to {to} and back"
    elif kind in ("transpose", "transposes"):
        perm = m.rng.sample(range(rank), rank)
        out = m.insert(n, "Transpose", [x], perm=perm)
        if kind == "transposes":
            other = np.argsort(perm).tolist() if m.rng.random() < 0.6 else m.rng.sample(range(rank), rank)
            out, perm = m.insert(n + 1, "Transpose", [out], perm=other), [perm, other]
        kind = f"transpose {perm}"
    elif kind == "reshape":
        target = m.rng.choice([[0] * rank, [0] * (rank - 1) + [-1], [-1, *shape[-1:]], [1, -1, *shape[2:]],
                               [0, -1, *shape[2:]], [-1, *shape[1:]]])
        out, kind = m.insert(n, "Reshape", [x, m.constant(target, np.int64)]), f"reshape {target}"
    elif kind == "scale":
        factor = m.rng.choice([2.0, -1.0, [0.5], np.linspace(0.5, 1.5, width), [np.linspace(0.5, 1.5, width)]])
        out = m.insert(n, m.rng.choice(["Mul", "Div"]), [x, m.constant(factor)])
    elif kind == "shift":
        term = m.rng.choice([0.5, [-1.0], np.linspace(-1, 1, width), [[np.linspace(-1, 1, width)]]])
        inputs = [x, m.constant(term)]
        out = m.insert(n, m.rng.choice(["Add", "Sub"]), inputs if m.rng.random() < 0.7 else inputs[::-1])
    elif kind == "column":
        first = m.insert(n, "Gather", [x, m.constant([m.rng.choice([0, -1])], np.int64)], axis=rank - 1)
        out = m.insert(n + 1, m.rng.choice(["Add", "Sub", "Mul"]), [x, first])
    elif kind == "qdq":
        dtype = m.rng.choice([np.uint8, np.int8])
        lists = m.rng.random() < 0.3
        params = [m.constant(np.full(1, v) if lists else v, t) for v, t in
                  ((m.rng.choice([0.02, 0.05]), np.float32), (m.rng.choice([0, 3, 120]), dtype))]
        codes = m.insert(n, "QuantizeLinear", [x, *params])
        if m.rng.random() < 0.3:
            params[0] = m.constant(0.03)
        out = m.insert(n + 1, "DequantizeLinear", [codes, *params])
    elif kind == "slice":
        axis = m.rng.randrange(rank)
        step = m.rng.choice([1, 1, -1])
        start, end = (-1, -2**31) if step < 0 else m.rng.choice([(0, 2**31), (1, 2**31), (0, -1), (0, 1), (1, 2)])
        numbers = [m.constant([value], np.int64) for value in (start, end, axis, step)]
        out, kind = m.insert(n, "Slice", [x, *numbers]), f"slice {start}:{end}:{step} of axis {axis}"
    elif kind == "flip":
        order = m.rng.sample(range(width), width)
        out = m.insert(n, "Gather", [x, m.constant(order, np.int64)], axis=rank - 1)
    elif kind == "unsqueeze":
        axis = m.rng.choice([0, rank, 1])
        if m.opset >= 13:
            out = m.insert(n, "Unsqueeze", [x, m.constant([axis], np.int64)])
        else:
            out = m.insert(n, "Unsqueeze", [x], axes=[axis])
    elif kind == "expand":
        out = m.insert(n, "Expand", [x, m.constant([1] * m.rng.randrange(1, rank + 2), np.int64)])
    elif kind == "mean":
        axis, keeps = m.rng.randrange(rank), m.rng.choice([0, 1, 1])
        if m.opset >= 18:
            mean = m.insert(n, "ReduceMean", [x, m.constant([axis], np.int64)], keepdims=keeps)
        else:
            mean = m.insert(n, "ReduceMean", [x], axes=[axis], keepdims=keeps)
        out = m.insert(n + 1, m.rng.choice(["Add", "Sub", "Mul"]), [x, mean])
        kind = f"mean over axis {axis}"
    elif kind == "gate":
        gate = m.insert(n, "Sigmoid", [x])
        out = m.insert(n + 1, "Mul", [x, gate])
    else:  # something of the text beside it
        first = m.insert(n, "Gather", [x, m.constant([m.rng.choice([0, 0, -1])], np.int64)],
                         axis=min(1, rank - 1))
        out = m.insert(n + 1, m.rng.choice(["Add", "Sub", "Mul"]), [x, first])
    at = next(k for k, other in enumerate(m.graph.node) if other is node or other == node)
    m.graph.node[at].input[i] = out
    return f"{node.op_type} {node.output[0]}: input {i} {x} behind {kind}"


def add_reader(m):
    """Another value of the same type is added on an edge."""
    n, i = m.pick_edge()
    node = m.graph.node[n]
    x = node.input[i]
    earlier = {name for other in m.graph.node[:n] for name in other.output}
    other = m.rng.choice(sorted(name for name in earlier if m.types.get(name) == m.types[x]))
    op = m.rng.choice(["Add", "Sub", "Mul", "Add"])
    name, out = node.output[0], m.insert(n, op, [x, other])
    m.graph.node[n + 1].input[i] = out
    return f"{node.op_type} {name}: input {i} {x} -> {op} with {other}"


def mask_scores(m):
    """One more mask or bias before a softmax over heads."""
    places = [n for n, node in enumerate(m.graph.node) if node.op_type == "Softmax" and
              len(m.types.get(node.input[0], (0, ()))[1]) == 4]
    n = m.rng.choice(places)
    x = m.graph.node[n].input[0]
    name = m.rng.choice([v.name for v in m.graph.input if v.name in
                         ("attention_mask", "attention_mask", "input_ids", "token_type_ids")])
    axes = m.rng.choice([[1, 2], [1, 2], [1, 2], [1, 3], [0, 1]])
    wide = m.insert(n, "Unsqueeze", [name, m.constant(axes, np.int64)]) if m.opset >= 13 else \
        m.insert(n, "Unsqueeze", [name], axes=axes)
    how = m.rng.choice(["additive", "where", "where below", "soft", "bias"])
    at = n + 1
    if how in ("where", "where below"):
        keep = m.insert(at, "Cast", [wide], to=TensorProto.BOOL)
        fill = m.constant(m.rng.choice([-np.inf, -1e4, -3.4e38, -10.0, 0.0]) if how == "where" else 1.0)
        out = m.insert(at + 1, "Where", [keep, x, fill] if m.rng.random() < 0.7 else [keep, fill, x])
    else:
        real = m.insert(at, "Cast", [wide], to=TensorProto.FLOAT)
        dropped = m.insert(at + 1, "Sub", [m.constant(1.0), real]) if how != "bias" else real
        factor = m.constant({"additive": m.rng.choice([-1e4, -1e9, -3.4e38]), "soft": -2.0, "bias": 0.7}[how])
        term = m.insert(at + 2 if how != "bias" else at + 1, "Mul", [dropped, factor])
        out = m.insert(at + (3 if how != "bias" else 2), "Add", [x, term])
    softmax = next(node for node in m.graph.node if node.op_type == "Softmax" and node.input[0] == x)
    softmax.input[0] = out
    return f"scores {x}: another mask, {how}, of {name} at {axes}"


def scale_scores(m):
    """A factor for each head, key or query before a softmax, or a bias a head."""
    n = m.rng.choice([n for n, node in enumerate(m.graph.node) if node.op_type == "Softmax" and
                      len(m.types.get(node.input[0], (0, ()))[1]) == 4])
    x = m.graph.node[n].input[0]
    heads = m.types[x][1][1]
    values = m.rng.choice([np.linspace(0.5, 1.5, heads).reshape(1, heads, 1, 1), [[[[0.3]]]], 0.3, [0.3]])
    op = m.rng.choice(["Mul", "Add", "Div"])
    out = m.insert(n, op, [x, m.constant(values)])
    m.graph.node[n + 1].input[0] = out
    return f"scores {x}: {op} {np.asarray(values).ravel().tolist()}"


def change_input(m):
    value = m.rng.choice(list(m.graph.input)[:3])
    dims = value.type.tensor_type.shape.dim
    how = m.rng.choice(["rename", "same", "reorder", "int32", "fix batch", "swap", "unknown"])
    if how == "rename":
        dims[1].dim_param = m.rng.choice(["n", "batch", "sequence", "past + 1"])
    elif how == "same":
        dims[0].dim_param = dims[1].dim_param = "n"
    elif how == "reorder":
        inputs = m.rng.sample(list(m.graph.input), len(m.graph.input))
        copies = [onnx.ValueInfoProto.FromString(v.SerializeToString()) for v in inputs]
        del m.graph.input[:]
        m.graph.input.extend(copies)
    elif how == "int32":
        value.type.tensor_type.elem_type = TensorProto.INT32
        out = m.insert(0, "Cast", [value.name], to=TensorProto.INT64)
        for node in list(m.graph.node)[1:]:
            node.input[:] = [out if name == value.name else name for name in node.input]
    elif how == "fix batch":
        dims[0].dim_value = 1
    elif how == "swap":
        other = m.rng.choice(list(m.graph.input))
        for node in m.graph.node:
            node.input[:] = [{value.name: other.name, other.name: value.name}.get(name, name) for name in node.input]
        how = f"swapped with {other.name}"
    else:
        dims[m.rng.randrange(2)].ClearField("dim_param")
    return f"input {value.name}: {how}"


def change_codes(m):
    """Zero points and codes of the other 8-bit type: one of the two, or both."""
    names = [name for name, t in m.constants().items() if t.data_type in (TensorProto.UINT8, TensorProto.INT8)]
    name = m.rng.choice(names)
    tensor = m.constants()[name]
    value = numpy_helper.to_array(tensor)
    other = (value.astype(np.int32) + (128 if value.dtype == np.int8 else -128))
    target = np.uint8 if value.dtype == np.int8 else np.int8
    readers = [node for node in m.graph.node if name in node.input]
    tensor.CopyFrom(numpy_helper.from_array(other.astype(target), tensor.name))
    shifted = ""
    if m.rng.random() < 0.7:
        for node in readers:
            for other_name in node.input:
                t = m.constants().get(other_name)
                if other_name != name and t is not None and t.data_type == (
                        TensorProto.INT8 if target == np.uint8 else TensorProto.UINT8):
                    v = numpy_helper.to_array(t).astype(np.int32) + (128 if target == np.uint8 else -128)
                    t.CopyFrom(numpy_helper.from_array(v.astype(target), t.name))
                    shifted += f", {other_name} too"
    return f"codes {name} as {target.__name__}{shifted}"


MUTATIONS = [change_attribute] * 3 + [remove_attribute] + [change_constant] * 4 + [reshape_constant] * 2 + \
    [transpose_weight, replace_operator, replace_operator, swap_inputs, swap_inputs, rewire, rewire, rewire, bypass,
     bypass, drop_input] + [wrap] * 8 + [add_reader] * 3 + [mask_scores, mask_scores, scale_scores, change_input,
                                                            change_codes, change_codes]


def session_of(model, optimized=False):
    options = ort.SessionOptions()
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return exact_session(model, options)


def run_text(session, text, output=None):
    dtypes = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
    length = len(text["input_ids"])
    feed = {"input_ids": text["input_ids"], "attention_mask": [1] * length,
            "token_type_ids": text.get("token_type_ids", [0] * length)}
    values = {v.name: v.type for v in [*session.get_inputs(), *session.get_overridable_initializers()]}
    return session.run(output, {n: np.array([feed[n]], dtypes[t]) for n, t in values.items() if n in feed})


def with_all_outputs(model):
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    names = [name for node in model.graph.node for name in node.output if name]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return probe


def types_of(model, text):
    """Of all values: dtype and shape for one text."""
    probe = with_all_outputs(model)
    names = [value.name for value in probe.graph.output]
    results = run_text(session_of(probe), text)
    types = {n: (r.dtype.type, r.shape) for n, r in zip(names, results, strict=True) if isinstance(r, np.ndarray)}
    for tensor in model.graph.initializer:
        types[tensor.name] = (helper.tensor_dtype_to_np_dtype(tensor.data_type).type, tuple(tensor.dims))
    for value in model.graph.input:
        if value.type.tensor_type.elem_type == TensorProto.INT64:
            types[value.name] = (np.int64, (1, len(text["input_ids"])))
    return types


def logits_of(session, texts):
    return np.array([run_text(session, text)[0].reshape(-1) for text in texts], np.float64)


def nudged(model):
    """The same with float constants changed by 1e-6, relative."""
    other = onnx.ModelProto()
    other.CopyFrom(model)
    rng = np.random.default_rng(0)
    for tensor in other.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) and np.prod(tensor.dims) > 8:
            value = numpy_helper.to_array(tensor)
            noise = (1 + 1e-6 * rng.standard_normal(value.shape)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(value * noise, tensor.name))
    return other


def load(path, cache):
    if path not in cache:
        model = onnx.load(path)
        texts = foreign.texts_of(path.name.split(".")[0], 400)
        chosen = [min(texts, key=lambda t, n=n: abs(len(t["input_ids"]) - n)) for n in LENGTHS]
        chosen = [{k: v[:n] for k, v in t.items()} for t, n in zip(chosen, LENGTHS, strict=True)]
        cache[path] = model, chosen, types_of(model, chosen[0])
    return cache[path]


def mutate(path, seed, cache):
    rng = random.Random(f"{seed}")
    model, texts, types = load(path, cache)
    mutant = Mutant(model, types, rng)
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3])):
        try:
            mutant.notes.append(rng.choice(MUTATIONS)(mutant))
        except (IndexError, ValueError, StopIteration, KeyError, OverflowError):
            continue  # nothing to change so in this file
    return mutant, texts


def has_codes(model):
    return any("Quantize" in node.op_type or "Integer" in node.op_type or "QLinear" in node.op_type or
               (node.op_type == "Cast" and helper.get_attribute_value(node.attribute[0]) not in (1, 11))
               for node in [*model.graph.node, *(n for f in model.functions for n in f.node)])


def judge(program, mutant, texts, path):
    """'' where all is well, None where ONNX Runtime does not take it, else what is wrong; and a kind."""
    model = mutant.model
    try:
        onnx.checker.check_model(model)
        session = session_of(model)
        want = logits_of(session, texts)
    except Exception:  # whatever it minds
        return None, "invalid"
    if want.ndim != 2 or want.size == 0 or not np.isfinite(want).all() or np.abs(want).max() > 1e6:
        return None, "no numbers"
    onnx.save(model, path)
    with tempfile.TemporaryDirectory() as folder:
        encodings, logits = Path(folder) / "encodings.json", Path(folder) / "logits"
        encodings.write_text(json.dumps(texts), encoding="utf-8")
        command = [program, path, encodings, logits]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if ran.returncode:
            message = ran.stderr.strip()
            clear = ran.returncode == 1 and "internal" not in message and len(message) > 10
            return ("" if clear else f"exit {ran.returncode}: {message}"), "refused: " + message
        got = np.fromfile(logits, np.float32).astype(np.float64)
    how = "op by op" if "The interpreter runs" in ran.stdout else "kernels"
    if got.size != want.size:
        return f"{got.size} logits, expected {want.size}", how
    worst = np.abs(got.reshape(want.shape) - want).max()
    size = max(np.abs(want).max(), 1e-3)
    bound = FLOAT_BOUND * size
    if worst <= bound:
        return "", how
    others = [logits_of(session_of(nudged(model)), texts)]
    try:
        others.append(logits_of(session_of(model, True), texts))
    except Exception:  # its optimizer is not always right
        pass
    session = session_of(with_all_outputs(model))
    values = [value for text in texts for value in run_text(session, text)]
    if any(value.dtype.kind == "f" and np.isnan(value).any() for value in values):
        return None, "no numbers"  # codes of NaN are anybody's guess
    noise = max(np.abs(other - want).max() for other in others)
    bound = max(bound, 5 * noise, CODES_BOUND * size if has_codes(model) else 0)
    return ("" if worst <= bound else f"logits differ by {worst:.2g} of {size:.2g}, noise {noise:.1g}"), how


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--mutants", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", nargs="+", type=Path, default=sorted(foreign.DIRECTORY.glob("*.onnx")))
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    kinds, messages, found, cache = collections.Counter(), collections.Counter(), 0, {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(args.seed, args.seed + args.mutants):
            path = random.Random(seed).choice(args.files)
            mutant, texts = mutate(path, seed, cache)
            file = Path(folder) / "mutant.onnx"
            try:
                wrong, kind = judge(args.program, mutant, texts, file)
            except subprocess.TimeoutExpired:
                wrong, kind = "no answer in a minute", "slow"
            kinds[kind.split(":")[0]] += 1
            if kind.startswith("refused"):
                messages[re.sub(r"'[^']*'|\d+", "_", kind)] += 1
            if wrong:
                found += 1
                head = f"seed {seed} {path.name} ({kind.splitlines()[0]}): {wrong}"
                print(head, *mutant.notes, sep="\n  ", flush=True)
                if args.keep:
                    args.keep.mkdir(parents=True, exist_ok=True)
                    (args.keep / f"{seed}.onnx").write_bytes(file.read_bytes())
    print(f"{args.mutants} mutants: {dict(kinds)}; {found} findings")
    for message, count in messages.most_common():
        print(f"  {count} {message}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
