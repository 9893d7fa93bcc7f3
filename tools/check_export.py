#!/usr/bin/env python3
"""Checks an exported ONNX file in ONNX Runtime or OpenVINO against the predictions of `laconic predict`.

The file must pass onnx.checker and use ONNX's own operators only. Tokenizes with Hugging Face tokenizers, runs one text
at a time, and compares the labels; every text whose labels differ is printed with its margin, in logits. Exits with 1
where fewer than --min-agreement of the decisions are the same.
"""
import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from tokenizers import Tokenizer

from models_and_texts import is_multi_label, read_texts

sys.path.append(str(Path(__file__).parent / "onnx"))
from exact_session import exact_session, saturates  # noqa: E402

MIN_AGREEMENT = 0.998


def run(runtime, tokenizer, text):
    """The logits of one text."""
    encoding = tokenizer.encode(text)
    values = {"input_ids": encoding.ids, "attention_mask": [1] * len(encoding.ids), "token_type_ids": encoding.type_ids}
    return runtime({name: np.array([values[name]], np.int64) for name in runtime.inputs})[0]


def decide(logits, multi_label):
    """The labels that are on."""
    return {int(i) for i in np.flatnonzero(logits > 0)} if multi_label else {int(logits.argmax())}


def margin(logits, theirs, ours, multi_label):
    """How far the logits are from the other answer: near zero where rounding alone decides."""
    if multi_label:
        return max(abs(float(logits[i])) for i in theirs ^ ours)
    return float(logits[list(theirs)].max() - logits[list(ours)].max())


def logit_difference(logits, probabilities, multi_label):
    """The largest difference of two models' logits where the other's probabilities tell (of single-label models the
    differences between the logits of two labels): where f32 does not round them towards 1."""
    theirs = np.array(logits, np.float64)
    ours = np.array(probabilities, np.float64)
    if multi_label:
        tells = ours < 0.99
        return np.abs(theirs[tells] - np.log(ours[tells] / (1 - ours[tells]))).max()
    ours = np.log(ours)
    return np.abs((theirs - theirs[:, :1]) - (ours - ours[:, :1])).max()


class OnnxRuntime:
    name = f"ONNX Runtime {onnxruntime.__version__}"

    def __init__(self, path):
        onnxruntime.set_default_logger_severity(3)  # it warns of every optional input
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # one text at a time: more would only wait for each other
        if saturates():
            print("ONNX Runtime's products with weights in s8 saturate on this CPU: it is given them in u8 (docs/onnx.md)")
        self.session = exact_session(path, options)
        self.inputs = [i.name for i in self.session.get_inputs()]

    def __call__(self, inputs):
        return self.session.run(["logits"], inputs)[0]


class OpenVino:
    """In f32: by default OpenVINO computes in bf16 what is not integer, where the CPU has it."""

    def __init__(self, path):
        import openvino
        self.name = f"OpenVINO {openvino.__version__.split('-')[0]}"
        self.compiled = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})
        self.inputs = [i.get_any_name() for i in self.compiled.inputs]

    def __call__(self, inputs):
        return self.compiled(inputs)[self.compiled.output("logits")]


RUNTIMES = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}


def check(path):
    """Refuses a file that onnx.checker does not pass or that has an operator other than ONNX's own."""
    onnx.checker.check_model(str(path), full_check=True)
    domains = {node.domain for node in onnx.load(path).graph.node}
    if domains != {""}:
        raise ValueError(f"{path}: operators of {domains}, expected ONNX's own")


def compare(path, model, texts, predictions, max_length, runtime="onnxruntime"):
    """Prints each text whose labels differ, and a summary; returns the share of decisions that are the same."""
    if len(texts) != len(predictions):
        raise ValueError(f"{len(texts)} texts but {len(predictions)} predictions")
    labels, multi_label = list(predictions[0]["probabilities"]), is_multi_label(model)
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    check(path)
    other = RUNTIMES[runtime](path)
    all_logits = [run(other, tokenizer, text) for text in texts]
    changed = 0
    for row, (logits, prediction) in enumerate(zip(all_logits, predictions)):
        theirs, ours = decide(logits, multi_label), {labels.index(label) for label in prediction["labels"]}
        if theirs != ours:
            changed += len(theirs ^ ours) if multi_label else 1
            print(f"  text {row}: {other.name} {[labels[i] for i in sorted(theirs)]}, laconic {prediction['labels']}, "
                  f"margin {margin(logits, theirs, ours, multi_label):.2g}")
    total = len(texts) * (len(labels) if multi_label else 1)
    difference = logit_difference(all_logits, [list(p["probabilities"].values()) for p in predictions], multi_label)
    print(f"{path.name} in {other.name}: {total - changed} of {total} decisions as ours, "
          f"logits differ by up to {difference:.2g}", flush=True)
    return 1 - changed / total


def read_predictions(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("onnx", type=Path, help="the exported file")
    parser.add_argument("--model", type=Path, required=True, help="the model's directory, with tokenizer.json")
    parser.add_argument("--data", type=Path, required=True, help="the texts")
    parser.add_argument("--predictions", type=Path, required=True, help="what `laconic predict` wrote for them")
    parser.add_argument("--max-length", type=int, required=True)
    parser.add_argument("--runtime", choices=RUNTIMES, default="onnxruntime")
    parser.add_argument("--min-agreement", type=float, default=MIN_AGREEMENT)
    args = parser.parse_args()
    agreement = compare(args.onnx, args.model, read_texts(args.data), read_predictions(args.predictions),
                        args.max_length, args.runtime)
    return 0 if agreement >= args.min_agreement else 1


if __name__ == "__main__":
    sys.exit(main())
