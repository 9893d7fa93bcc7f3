#!/usr/bin/env python3
"""Checks an exported ONNX file in ONNX Runtime against the predictions of `laconic predict`.

Tokenizes with Hugging Face tokenizers, runs one text at a time, and compares the labels; every text whose labels
differ is printed with its margin, in logits. Exits with 1 where fewer than --min-agreement of the decisions are the
same.
"""
import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from tokenizers import Tokenizer


def read_texts(path):
    """The texts of a JSON array, JSONL, CSV or TSV file: the column `text`, or `sentence`."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        if path.suffix == ".json":
            rows = json.load(file)
        elif path.suffix == ".jsonl":
            rows = [json.loads(line) for line in file]
        else:
            rows = list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))
    return [row["text"] if "text" in row else row["sentence"] for row in rows]


def read_labels(model):
    """The labels in the order of the logits, and whether several may be on."""
    artifact = model / "laconic.json"  # else a Hugging Face directory
    config = json.loads((artifact if artifact.exists() else model / "config.json").read_text(encoding="utf-8"))
    labels = config.get("labels") or [config["id2label"][str(i)] for i in range(len(config["id2label"]))]
    return labels, config.get("problem_type") == "multi_label_classification"


def run(session, tokenizer, text):
    """The logits of one text."""
    encoding = tokenizer.encode(text)
    values = {"input_ids": encoding.ids, "attention_mask": [1] * len(encoding.ids), "token_type_ids": encoding.type_ids}
    inputs = {i.name: np.array([values[i.name]], np.int64) for i in session.get_inputs()}
    return session.run(["logits"], inputs)[0][0]


def decide(logits, multi_label):
    """The labels that are on."""
    return {int(i) for i in np.flatnonzero(logits > 0)} if multi_label else {int(logits.argmax())}


def margin(logits, theirs, ours, multi_label):
    """How far the logits are from the other answer: near zero where rounding alone decides."""
    if multi_label:
        return max(abs(float(logits[i])) for i in theirs ^ ours)
    return float(logits[list(theirs)].max() - logits[list(ours)].max())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("onnx", type=Path, help="the exported file")
    parser.add_argument("--model", type=Path, required=True, help="the model's directory, with tokenizer.json")
    parser.add_argument("--data", type=Path, required=True, help="the texts")
    parser.add_argument("--predictions", type=Path, required=True, help="what `laconic predict` wrote for them")
    parser.add_argument("--max-length", type=int, required=True)
    parser.add_argument("--min-agreement", type=float, default=0.998)
    args = parser.parse_args()

    labels, multi_label = read_labels(args.model)
    tokenizer = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(args.max_length)
    texts = read_texts(args.data)
    predictions = [json.loads(line) for line in args.predictions.read_text(encoding="utf-8").splitlines()]
    if len(texts) != len(predictions):
        sys.exit(f"check_export: {len(texts)} texts but {len(predictions)} predictions")

    onnx.checker.check_model(str(args.onnx), full_check=True)
    onnxruntime.set_default_logger_severity(3)  # it warns of every optional input
    session = onnxruntime.InferenceSession(args.onnx, providers=["CPUExecutionProvider"])
    changed = 0
    for row, (text, prediction) in enumerate(zip(texts, predictions)):
        logits = run(session, tokenizer, text)
        theirs, ours = decide(logits, multi_label), {labels.index(label) for label in prediction["labels"]}
        if theirs != ours:
            changed += len(theirs ^ ours) if multi_label else 1
            print(f"  text {row}: ONNX Runtime {[labels[i] for i in sorted(theirs)]}, laconic {prediction['labels']}, "
                  f"margin {margin(logits, theirs, ours, multi_label):.2g}")
    total = len(texts) * (len(labels) if multi_label else 1)
    agreement = 1 - changed / total
    print(f"{args.onnx.name} in ONNX Runtime {onnxruntime.__version__}: {total - changed} of {total} decisions as ours")
    return 0 if agreement >= args.min_agreement else 1


if __name__ == "__main__":
    sys.exit(main())
