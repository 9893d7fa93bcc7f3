#!/usr/bin/env python3
"""Writes tests/data/onnx: the classifiers of tests/data/tiny_* as other projects write them, and their logits.

    .venv/bin/python tools/onnx/make_foreign_models.py --writers torch onnxruntime
    optimum/bin/python tools/onnx/make_foreign_models.py --writers optimum
    .venv/bin/python tools/onnx/make_foreign_models.py --writers expected

The first needs onnxscript and onnx_ir beside requirements-oracle.txt (torch's dynamo exporter is made of them). Optimum
needs an environment of its own, since optimum-onnx 0.1.0 needs transformers < 4.58. Each model is named
FAMILY.WRITER.onnx. `expected` runs ONNX Runtime on all files: expected.json holds token ids of texts by family, and of
each file its writer with versions, the opsets, the domains' operators, and the logits of each text, computed alone.
"""
import argparse
import collections
import fnmatch
import json
import logging
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx

OUTPUT = Path("tests/data/onnx")
FAMILIES = ["bert", "electra", "distilbert", "roberta", "albert"]
NUM_TEXTS = 24  # of a family; the shortest and the longest (128 tokens) among them
NUM_CALIBRATION = 16


def directory_of(family):
    return ARGS.models / f"tiny_{family}"


def texts_of(family):
    """Token ids and types of texts, by even steps of their lengths."""
    examples = json.loads((directory_of(family) / "expected_logits.json").read_text(encoding="utf-8"))["examples"]
    examples.sort(key=lambda example: len(example["input_ids"]))
    picked = [examples[round(i)] for i in np.linspace(0, len(examples) - 1, NUM_TEXTS)]
    return [{"input_ids": e["input_ids"], **({"token_type_ids": e["token_type_ids"]} if "token_type_ids" in e else {})}
            for e in picked]


def feed_of(text, names):
    length = len(text["input_ids"])
    feed = {"input_ids": text["input_ids"], "attention_mask": [1] * length,
            "token_type_ids": text.get("token_type_ids", [0] * length)}
    return {name: np.array([feed[name]], np.int64) for name in names}


def path_of(family, writer):
    OUTPUT.mkdir(parents=True, exist_ok=True)
    return OUTPUT / f"{family}.{writer}.onnx"


def save(model, family, writer):
    """Without the debugging notes (source lines, stack traces) that exporters add: they are machine paths."""
    def strip(graph):
        del graph.metadata_props[:]
        for node in graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
        for value in [*graph.value_info, *graph.input, *graph.output, *graph.initializer]:
            del value.metadata_props[:]
    if not fnmatch.fnmatch(f"{family}.{writer}", ARGS.only):
        return
    strip(model.graph)
    for function in model.functions:
        del function.metadata_props[:]
        function.doc_string = ""
        for node in function.node:
            node.doc_string = ""
            del node.metadata_props[:]
    path_of(family, writer).write_bytes(model.SerializeToString())


def load_model(family, attention):
    import transformers
    return transformers.AutoModelForSequenceClassification.from_pretrained(
        directory_of(family), attn_implementation=attention).eval()


def names_of(family):
    types = [] if family in ("distilbert", "roberta") else ["token_type_ids"]
    return ["input_ids", "attention_mask", *types]


class Logits:
    """What torch exports: logits of arguments in the order of names_of."""

    def __new__(cls, model, family):
        import torch

        class Module(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.model = model

            def forward(self, *inputs):
                return self.model(**dict(zip(names_of(family), inputs))).logits
        return Module().eval()


def example_inputs(family):
    import torch
    rng = np.random.default_rng(1)
    ids = torch.from_numpy(rng.integers(5, 100, (2, 9)))
    rest = [torch.ones(2, 9, dtype=torch.int64), torch.zeros(2, 9, dtype=torch.int64)]
    return tuple([ids, *rest][:len(names_of(family))])


def torchscript(family, opset, attention, **options):
    import torch
    names = names_of(family)
    axes = {name: {0: "batch", 1: "sequence"} for name in names} | {"logits": {0: "batch"}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(Logits(load_model(family, attention), family), example_inputs(family), str(path), dynamo=False,
                          opset_version=opset, input_names=names, output_names=["logits"], dynamic_axes=axes, **options)
        suffix = "".join("_" + name for name in options)
        save(onnx.load(path), family, f"torchscript{opset}_{attention}{suffix}")


def dynamo(family, opset, attention, **options):
    import torch
    names = names_of(family)
    shapes = tuple({0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence", max=128)} for _ in names)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(Logits(load_model(family, attention), family), example_inputs(family), str(path), dynamo=True,
                          opset_version=opset, input_names=names, output_names=["logits"], dynamic_shapes=(shapes,),
                          external_data=False, **options)
        suffix = "".join("_no_" + name for name in options)
        save(onnx.load(path), family, f"dynamo{opset}_{attention}{suffix}")


def write_torch():
    for family, opset, attention, options in [
            ("bert", 11, "eager", {}), ("bert", 14, "sdpa", {"keep_initializers_as_inputs": True}),
            ("bert", 17, "sdpa", {}), ("electra", 12, "eager", {}), ("electra", 14, "sdpa", {}),
            ("distilbert", 13, "eager", {}), ("distilbert", 17, "sdpa", {}), ("roberta", 14, "eager", {}),
            ("albert", 11, "eager", {})]:
        attempt(torchscript, family, opset, attention, **options)
    for family, opset, attention, options in [
            ("bert", 18, "sdpa", {}), ("bert", 23, "sdpa", {}), ("bert", 18, "eager", {"optimize": False}),
            ("electra", 18, "eager", {}), ("distilbert", 20, "sdpa", {}), ("roberta", 20, "sdpa", {}),
            ("albert", 21, "eager", {})]:
        attempt(dynamo, family, opset, attention, **options)


def write_optimum():
    from optimum.exporters.onnx import main_export
    for family, opset in [("bert", None), ("distilbert", 14), ("roberta", None)]:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "source"  # as transformers 4 expects it
            shutil.copytree(directory_of(family), source)
            main_export(str(source), output=folder, task="text-classification", opset=opset, do_validation=False)
            save(onnx.load(Path(folder) / "model.onnx"), family, "optimum" + (str(opset) if opset else ""))


def write_onnxruntime():
    import onnxruntime as ort
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.calibrate import CalibrationDataReader
    from onnxruntime.quantization.shape_inference import quant_pre_process
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    eager_of = {"bert": path_of("bert", "torchscript11_eager"), "electra": path_of("electra", "torchscript12_eager"),
                "distilbert": path_of("distilbert", "torchscript13_eager"),
                "roberta": path_of("roberta", "torchscript14_eager"), "albert": path_of("albert", "torchscript11_eager")}
    bert, electra = path_of("bert", "torchscript17_sdpa"), path_of("electra", "torchscript14_sdpa")

    class Reader(CalibrationDataReader):
        def __init__(self, family):
            self.feeds = iter([feed_of(text, names_of(family)) for text in texts_of(family)[-NUM_CALIBRATION:]])

        def get_next(self):
            return next(self.feeds, None)

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)

        def optimized(family, writer, half=False, **options):
            fusion = FusionOptions("bert")
            for name, value in options.items():
                setattr(fusion, name, value)
            model = optimizer.optimize_model(str(eager_of[family]), "bert", num_heads=4, hidden_size=32,
                                             optimization_options=fusion, opt_level=0)
            if half:
                model.convert_float_to_float16(keep_io_types=True)
            model.save_model_to_file(str(folder / "optimized.onnx"))
            save(onnx.load(folder / "optimized.onnx"), family, writer)

        def session_optimized(source, family, writer, level):
            options = ort.SessionOptions()
            options.graph_optimization_level = level
            options.optimized_model_filepath = str(folder / "optimized.onnx")
            ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
            save(onnx.load(folder / "optimized.onnx"), family, writer)

        def dynamic(source, family, writer, **options):
            quantize_dynamic(str(source), str(folder / "quantized.onnx"), **options)
            save(onnx.load(folder / "quantized.onnx"), family, writer)

        def static(source, family, writer, **options):
            quant_pre_process(str(source), str(folder / "prepared.onnx"), skip_symbolic_shape=True)
            quantize_static(str(folder / "prepared.onnx"), str(folder / "quantized.onnx"), Reader(family), **options)
            save(onnx.load(folder / "quantized.onnx"), family, writer)

        def static_linear(source, family, writer, **options):
            """Linear layers alone, as users choose them: products by weights."""
            graph = onnx.load(source).graph
            weights = {initializer.name for initializer in graph.initializer}
            others = [node.name for node in graph.node if node.op_type == "MatMul" and weights.isdisjoint(node.input)]
            static(source, family, writer, op_types_to_quantize=["MatMul", "Gemm"], nodes_to_exclude=others, **options)

        for family in FAMILIES:
            attempt(optimized, family, "ort_optimizer")
        attempt(optimized, "bert", "ort_optimizer_raw_mask_fast_gelu", attention_mask_format=2,
                enable_gelu_approximation=True)
        attempt(optimized, "bert", "ort_optimizer_mha", use_multi_head_attention=True)
        attempt(optimized, "distilbert", "ort_optimizer_f16", half=True)
        levels = ort.GraphOptimizationLevel
        attempt(session_optimized, eager_of["bert"], "bert", "ort_extended", levels.ORT_ENABLE_EXTENDED)
        attempt(session_optimized, bert, "bert", "ort_all", levels.ORT_ENABLE_ALL)

        attempt(dynamic, bert, "bert", "ort_dynamic_s8", weight_type=QuantType.QInt8)
        attempt(dynamic, electra, "electra", "ort_dynamic_u8", weight_type=QuantType.QUInt8)
        attempt(dynamic, eager_of["roberta"], "roberta", "ort_dynamic_s8_channel", weight_type=QuantType.QInt8, per_channel=True)
        attempt(session_optimized, path_of("bert", "ort_dynamic_s8"), "bert", "ort_dynamic_s8_all", levels.ORT_ENABLE_ALL)
        attempt(session_optimized, path_of("electra", "ort_dynamic_u8"), "electra", "ort_dynamic_u8_extended", levels.ORT_ENABLE_EXTENDED)
        attempt(static, bert, "bert", "ort_qdq_s8s8", quant_format=QuantFormat.QDQ)
        attempt(static, path_of("distilbert", "torchscript17_sdpa"), "distilbert", "ort_qdq_u8s8_channel", quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True)
        attempt(dynamic, path_of("albert", "torchscript11_eager"), "albert", "ort_dynamic_u8_channel", weight_type=QuantType.QUInt8, per_channel=True)
        attempt(static, eager_of["roberta"], "roberta", "ort_qdq_u8s8", quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        attempt(static, path_of("albert", "dynamo21_eager"), "albert", "ort_qdq_u8u8_matmuls", quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QUInt8, op_types_to_quantize=["MatMul", "Gemm"])
        attempt(static_linear, bert, "bert", "ort_qdq_u8s8_linear", quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, per_channel=True)
        attempt(static_linear, electra, "electra", "ort_qoperator_u8s8_linear", quant_format=QuantFormat.QOperator,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        attempt(static, bert, "bert", "ort_qoperator_u8s8", quant_format=QuantFormat.QOperator,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        attempt(static, electra, "electra", "ort_qoperator_u8u8_channel", quant_format=QuantFormat.QOperator,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QUInt8, per_channel=True)


def attempt(write, *arguments, **options):
    try:
        write(*arguments, **options)
    except Exception as error:
        print(f"FAILED {write.__name__}{arguments} {options}: {type(error).__name__}: {str(error)[:600]}", file=sys.stderr)
        if ARGS.strict:
            raise


def writer_versions(writer):
    from importlib.metadata import version

    def versions(*names):
        return ", ".join(f"{name} {version(name)}" for name in names)
    if writer.startswith("torchscript"):
        return f"torch.onnx TorchScript exporter: {versions('torch', 'transformers')}"
    if writer.startswith("dynamo"):
        return f"torch.onnx dynamo exporter: {versions('torch', 'onnxscript', 'onnx-ir', 'transformers')}"
    if writer.startswith("optimum"):
        return "Optimum: optimum-onnx 0.1.0, optimum 2.1.0, transformers 4.57.6"
    return versions("onnxruntime")


def write_expected():
    import onnxruntime as ort
    from exact_session import exact_session
    texts = {family: texts_of(family) for family in FAMILIES}
    old = {} if ARGS.only == "*" else json.loads((OUTPUT / "expected.json").read_text(encoding="utf-8"))["models"]
    models = {}
    for path in sorted(OUTPUT.glob("*.onnx")):
        if path.name in old and not fnmatch.fnmatch(path.stem, ARGS.only):
            models[path.name] = old[path.name]
            continue
        family, writer = path.name.removesuffix(".onnx").split(".")
        model = onnx.load(path)
        foreign = collections.Counter(f"{node.domain}:{node.op_type}" for node in model.graph.node if node.domain)
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = exact_session(path, options)
        names = [value.name for value in session.get_inputs()]
        logits = [[float(str(value)) for value in session.run(None, feed_of(text, names))[0][0].astype(np.float32)]
                  for text in texts[family]]
        models[path.name] = {"writer": writer_versions(writer), "ir_version": model.ir_version,
                             "opsets": {o.domain or "ai.onnx": o.version for o in model.opset_import},
                             "foreign_ops": dict(sorted(foreign.items())), "inputs": names, "logits": logits}
    lines = [f" {json.dumps(family)}: [\n" + ",\n".join(json.dumps(t, separators=(",", ":")) for t in examples) + "]"
             for family, examples in texts.items()]
    head = {"made_by": "tools/onnx/make_foreign_models.py",
            "logits_by": f"onnxruntime {ort.__version__} without graph optimizations, CPU"}
    text = json.dumps(head, indent=0).removesuffix("\n}") + ',\n"texts": {\n' + ",\n".join(lines) + '\n},\n"models": {\n'
    text += ",\n".join(f" {json.dumps(name)}: {json.dumps(model, separators=(',', ':'))}" for name, model in models.items())
    (OUTPUT / "expected.json").write_text(text + "\n}}\n", encoding="utf-8")
    print(f"{len(models)} files, {sum(p.stat().st_size for p in OUTPUT.iterdir()) / 1e6:.1f} MB")


def main():
    global ARGS
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writers", nargs="+", choices=["torch", "optimum", "onnxruntime", "expected"], required=True)
    parser.add_argument("--models", type=Path, default="tests/data")
    parser.add_argument("--only", default="*", help="a pattern of FAMILY.WRITER: others stay as they are")
    parser.add_argument("--strict", action="store_true")
    ARGS = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    for writer in ARGS.writers:
        globals()[f"write_{writer}"]()


if __name__ == "__main__":
    main()
