"""The runtimes that we are compared with: a module each, imported only in the process that prepares or serves it.

A module offers
  prepare(key, source)             writes the contender's file into source.folder and returns its path
  load(key, path, num_threads, num_streams)
                                   a function of a list of texts' token ids; it puts them into the runtime's form, and
                                   returns a function of nothing that runs them: logits [texts, labels]. As many of
                                   these as there are streams may run at once; they share the threads
All of them start from the same weights: `source.model` (a Hugging Face directory), or our float export of it.
"""
import importlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np


PAUSE_S = 0.05  # after a turn, for its threads to stop spinning


@dataclass
class Description:
    """A contender's name in tables, its module here, the packages it needs, how long its OpenMP spins, and whether it can
    run several batches at once."""
    title: str
    module: str
    packages: tuple
    pause_s: float = PAUSE_S
    has_streams: bool = True


PEERS = {
    "ort_f32": Description("ONNX Runtime FP32", "onnx_runtime", ("onnxruntime",)),
    "ort_dynamic": Description("ONNX Runtime dynamic INT8", "onnx_runtime", ("onnxruntime", "onnx")),
    "ort_dynamic_reduced": Description("ONNX Runtime dynamic INT8, reduce_range", "onnx_runtime", ("onnxruntime", "onnx")),
    "ort_static": Description("ONNX Runtime static INT8", "onnx_runtime", ("onnxruntime", "onnx")),
    "openvino_f32": Description("OpenVINO FP32", "open_vino", ("openvino",)),
    "openvino_bf16": Description("OpenVINO bf16", "open_vino", ("openvino",)),
    "openvino_int8_f32": Description("OpenVINO NNCF INT8 + f32", "open_vino", ("openvino", "nncf")),
    "openvino_int8_bf16": Description("OpenVINO NNCF INT8 + bf16", "open_vino", ("openvino", "nncf")),
    "ct2_int8": Description("CTranslate2 INT8", "ctranslate", ("ctranslate2",), pause_s=0.25),
    "torch_dynamic": Description("PyTorch dynamic INT8", "pytorch", ("torch", "transformers"), has_streams=False),
}


FP32 = ("ort_f32", "openvino_f32")
FLOAT = (*FP32, "openvino_bf16")
FROM_TENSORS = ("ct2_int8", "torch_dynamic")  # the others are made from our export


@dataclass
class Source:
    """Where the weights are, and where a peer may write. `is_random`: they are random, and accuracy means nothing."""
    model: Path
    folder: Path
    is_random: bool = False

    @property
    def has_tensors(self):
        return (self.model / "model.safetensors").exists()

    @property
    def float_onnx(self):
        return self.folder / "float.onnx"

    @property
    def calibration_texts(self):
        """A file of texts, for our static quantization."""
        return self.folder / "calibration.jsonl"

    @property
    def calibration_ids(self):
        """A file of their token ids, for that of the peers."""
        return self.folder / "calibration.json"

    def calibration(self):
        """Token ids of texts, for static quantization."""
        return json.loads(self.calibration_ids.read_text(encoding="utf-8"))


def module_of(key):
    """Imports the module of a contender."""
    return importlib.import_module(f"peers.{PEERS[key].module}")


def versions(key):
    """{package: version} of a contender. Errors: importlib.metadata.PackageNotFoundError naming the missing one."""
    from importlib import metadata  # pylint: disable=import-outside-toplevel  # serving does without
    return {package: metadata.version(package) for package in PEERS[key].packages}


def padded(ids):
    """The inputs of a BERT graph, padded to the longest text, by name."""
    length = max(map(len, ids))
    mask = np.array([[1] * len(row) + [0] * (length - len(row)) for row in ids], np.int64)
    return {"input_ids": np.array([row + [0] * (length - len(row)) for row in ids], np.int64), "attention_mask": mask,
            "token_type_ids": np.zeros_like(mask)}


@dataclass
class Way:
    """How a peer may run a batch: in which groups of texts, and how many of them at once."""
    name: str
    groups: list
    num_streams: int = 1


def ways(lengths, num_streams=1):
    """The ways to run texts of these lengths: all together, as far as that means padding also in fours of like length and
    singly, and both on `num_streams` streams if there are more than one. The longest come first, so that streams end together.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    parts = {"fours": [order[i:i + 4] for i in range(0, len(order), 4)], "singly": [[i] for i in order]}
    result = [Way("whole", [list(range(len(lengths)))])]
    if len(set(lengths)) > 1:
        result += [Way(name, groups) for name, groups in parts.items()]
    if num_streams > 1 and len(lengths) > 1:
        result += [Way(f"{name}, {num_streams} streams", groups, num_streams) for name, groups in parts.items()]
    return result
