"""ONNX Runtime: our float export, its own dynamic INT8 of that, and its own static INT8 (QDQ), both per channel.

It is not pinned to cores: that would slow it down. Static INT8 is u8 by s8, which is fast with and without AMX, in the
linear layers only, as ours is. `ort_dynamic_reduced` has weights of 7 bits: with 8 the sums of CPUs without VNNI
saturate.
"""
import onnxruntime

from peers import padded


class _Calibration:
    """A CalibrationDataReader; not derived from it, whose module serving does without."""

    def __init__(self, texts, names):
        self.batches = iter([{name: padded([ids])[name] for name in names} for ids in texts])

    def get_next(self):
        return next(self.batches, None)


def prepare(key, source):
    if key == "ort_f32":
        return source.float_onnx
    # pylint: disable=import-outside-toplevel  # a tenth of a second and 30 MB; serving does without
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process
    prepared, path = source.folder / f"{key}_prepared.onnx", source.folder / f"{key}.onnx"
    quant_pre_process(source.float_onnx, prepared, skip_symbolic_shape=True)
    options = {"DefaultTensorType": onnx.TensorProto.FLOAT}
    if key != "ort_static":
        quantize_dynamic(prepared, path, per_channel=True, weight_type=QuantType.QInt8, extra_options=options,
                         reduce_range=key == "ort_dynamic_reduced")
    else:
        names = [i.name for i in onnx.load(prepared, load_external_data=False).graph.input]
        quantize_static(prepared, path, _Calibration(source.calibration(), names), QuantFormat.QDQ,
                        op_types_to_quantize=["MatMul", "Gemm"], per_channel=True, activation_type=QuantType.QUInt8,
                        weight_type=QuantType.QInt8, extra_options=options | {"MatMulConstBOnly": True})
    return path


def load(_, path, num_threads, num_streams=1):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads // num_streams
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # it warns of every optional input
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]

    def bind(ids):
        values = padded(ids)
        inputs = {name: values[name] for name in names}
        return lambda: session.run(None, inputs)[0]
    return bind
