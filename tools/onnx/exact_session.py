"""ONNX Runtime with exact products on any CPU: exact_session(model, options).

On x86 without VNNI ONNX Runtime multiplies codes in u8 with weights in s8 by vpmaddubsw, which saturates
(docs/numerics.md, "Saturation elsewhere"). Weights in u8 it widens first: there they are written so, codes and zero
points 128 higher, which are the same numbers. (Its option session.x64quantprecision does the same, but only with graph
optimizations, and not to weights with a scale a column and no zero point.)
"""
import functools

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

# Where an operator has its weights, their scale and their zero point (absent: 0).
WEIGHTS = {"MatMulInteger": (1, None, 3), "QLinearMatMul": (3, 4, 5), "DynamicQuantizeMatMul": (1, 2, 3),
           "MatMulIntegerToFloat": (1, 3, 5), "QGemm": (3, 4, 5), "QAttention": (1, 4, 7),
           "DequantizeLinear": (0, 1, 2)}


def exact_session(model, options=None):
    """A session of a ModelProto or of a file."""
    if saturates():
        model = with_u8_weights(model if isinstance(model, onnx.ModelProto) else onnx.load(model))
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


@functools.cache
def saturates():
    """Whether ONNX Runtime's largest sum is too small here."""
    return largest_sum() < 64 * 255 * 127


def largest_sum():
    """ONNX Runtime's product of 64 codes of 255 with as many weights of 127."""
    graph = helper.make_graph([helper.make_node("MatMulInteger", ["a", "w"], ["y"])], "largest_sum",
                              [helper.make_tensor_value_info("a", TensorProto.UINT8, [1, 64])],
                              [helper.make_tensor_value_info("y", TensorProto.INT32, [1, 16])],
                              [numpy_helper.from_array(np.full((64, 16), 127, np.int8), "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return int(session.run(None, {"a": np.full((1, 64), 255, np.uint8)})[0].max())


def with_u8_weights(model):
    """A copy whose constant weights of products are u8."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    constants = {tensor.name: tensor for tensor in copy.graph.initializer}

    def constant(array, name):
        if name not in constants:
            copy.graph.initializer.append(numpy_helper.from_array(array, name))
            constants[name] = copy.graph.initializer[-1]
        return name

    def raised(name):
        array = numpy_helper.to_array(constants[name]).astype(np.int16) + 128
        return constant(array.astype(np.uint8), name + ".u8")

    for node in copy.graph.node:
        if node.op_type not in WEIGHTS:
            continue
        weight, scale, zero = WEIGHTS[node.op_type]
        name = node.input[weight]
        if name not in constants or constants[name].data_type != TensorProto.INT8:
            continue
        node.input.extend([""] * (zero + 1 - len(node.input)))
        node.input[weight] = raised(name)
        if node.input[zero]:
            node.input[zero] = raised(node.input[zero])
        else:
            shape = [] if scale is None else list(constants[node.input[scale]].dims)
            node.input[zero] = constant(np.full(shape, 128, np.uint8), f"{name}.u8_zero")
    return copy
