"""OpenVINO: our float export, and NNCF's static INT8 of it, each with what is not INT8 in bf16 or in f32."""
import openvino

from peers import padded


def prepare(key, source):
    if "int8" not in key:
        return source.float_onnx
    import nncf  # pylint: disable=import-outside-toplevel  # seconds; serving does without
    model = openvino.Core().read_model(source.float_onnx)
    names = [i.any_name for i in model.inputs]
    texts = [{name: padded([ids])[name] for name in names} for ids in source.calibration()]
    path = source.folder / f"{key}.xml"
    openvino.save_model(nncf.quantize(model, nncf.Dataset(texts), model_type=nncf.ModelType.TRANSFORMER,
                                      subset_size=len(texts)), path, compress_to_fp16=False)
    return path


def load(key, path, num_threads, num_streams=1):
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(path), "CPU", {
        "PERFORMANCE_HINT": "THROUGHPUT" if num_streams > 1 else "LATENCY", "NUM_STREAMS": num_streams,
        "INFERENCE_NUM_THREADS": num_threads,
        "INFERENCE_PRECISION_HINT": "bf16" if key.endswith("bf16") else "f32"})
    names = [i.any_name for i in compiled.inputs]
    only_request = compiled.create_infer_request()

    def bind(ids):
        request = compiled.create_infer_request() if num_streams > 1 else only_request
        values = padded(ids)
        inputs = {name: values[name] for name in names}
        return lambda: next(iter(request.infer(inputs, share_inputs=True).values())).copy()
    return bind
