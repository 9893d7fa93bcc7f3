#!/usr/bin/env python3
"""Measures what each method costs the three real classifiers, and what refitting the head wins back.

    tools/measure_accuracy.py build/release/laconic                       # all, in about a quarter of an hour
    tools/measure_accuracy.py build/release/laconic --models minilm_nlupp
    tools/measure_accuracy.py build/release/laconic --choices             # presets, dtypes and granularities instead

Prints a Markdown table a model. The strength of the refit is chosen on the validation set, by the mean distance of the
logits; everything in the table is measured on the test set, on which nothing was chosen.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from models_and_texts import REAL_MODELS

METHODS = {
    "dynamic INT8": [],
    "… embeddings in f32": ["--layers", "linear"],
    "… classifier in f32": ["--exclude", "classifier*"],
    "bf16 weights": ["--method", "bf16"],
    "fp16 weights": ["--method", "fp16"],
}
PENALTIES = (0.01, 0.1, 1)

# What a QConfig chooses, each next to the default, with as many training texts as make 8 batches.
TEXTS = 256
OFF = ["--smooth-quant", "off", "--gptq", "off", "--bias-correction", "off"]  # smoothing needs minmax ranges
STATIC = {
    "static": [],
    "… without SmoothQuant": OFF[:2],
    "… without SmoothQuant, GPTQ and bias correction": OFF,
    "… the same, observer percentile": [*OFF, "--activation-observer", "percentile"],
    "… the same, observer entropy": [*OFF, "--activation-observer", "entropy"],
    "… the same, observer mse": [*OFF, "--activation-observer", "mse"],
    "… weights quint8": ["--weight-dtype", "quint8"],
    "… weights per tensor": ["--weight-granularity", "tensor"],
    "… activations qint8": ["--activation-dtype", "qint8"],
    "… activations symmetric qint8": ["--activation-dtype", "qint8", "--activation-scheme", "symmetric"],
    "… overflow reduce-range": ["--overflow", "reduce-range"],
    "… attention in INT8": ["--int8-attention", "on"],
    **{f"preset {name}": ["--qconfig", name] for name in ("onnxruntime", "fbgemm", "qnnpack", "x86")},
}
DYNAMIC = {
    "dynamic": [],
    "… activations per tensor": ["--activation-granularity", "tensor"],
    "… weights quint8": ["--weight-dtype", "quint8"],
    "… weights per tensor": ["--weight-granularity", "tensor"],
    "… attention in INT8": ["--int8-attention", "on"],
    "… preset onnxruntime": ["--qconfig", "onnxruntime"],
    "… preset x86": ["--qconfig", "x86"],
}


class Measurement:
    def __init__(self, laconic, model, folder):
        self.laconic, self.folder, self.model = laconic, folder, model

    def run(self, *arguments):
        subprocess.run([self.laconic, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)

    def compare(self, candidates, data):
        """The rows of `laconic compare`, the base first."""
        report = self.folder / "compare.json"
        self.run("compare", self.model.directory, *candidates, "--data", *data, "--max-length", self.model.max_length, "--batch", 32,
                 "--json", report)
        return json.loads(report.read_text(encoding="utf-8"))["models"]

    def refit(self, quantized):
        """Name and directory of the best of the refits, by the validation set."""
        paths = []
        for penalty in PENALTIES:
            paths.append(self.folder / f"refit_{penalty}")
            self.run("fit-head", quantized, "--teacher", self.model.directory, "--data", *self.model.train, "--max-length",
                     self.model.max_length, "--penalty", penalty, "-o", paths[-1])
        distances = [row["mean_abs_logit_difference"] for row in self.compare(paths, self.model.validation)[1:]]
        best = distances.index(min(distances))
        return f"… head refitted (penalty {PENALTIES[best]})", paths[best]

    def quantize(self, methods, paths):
        """Adds to `paths` where each of the methods {name: flags} wrote its model."""
        for name, flags in methods.items():
            paths[name] = self.folder / str(len(paths))
            self.run("quantize", self.model.directory, "-o", paths[name], *flags)

    def choices(self):
        texts = ["--calibration", *self.model.train, "--calibration-batches", TEXTS // 32, "--batch", 32, "--max-length",
                 self.model.max_length]
        paths = {}
        self.quantize({name: ["--method", "static", *flags, *texts] for name, flags in STATIC.items()}, paths)
        self.quantize({f"{name}, without texts": flags for name, flags in DYNAMIC.items()}, paths)
        self.quantize({"dynamic, calibrated": texts, "… attention in INT8, calibrated": ["--int8-attention", "on", *texts]},
                      paths)
        self.table(paths)

    def methods(self):
        paths = {}
        self.quantize(METHODS, paths)
        name, path = self.refit(paths["dynamic INT8"])
        paths[name] = path
        self.table(paths)

    def table(self, paths):
        """Prints a row for each of the models {name: directory}."""
        rows = self.compare(paths.values(), self.model.test)
        print(f"| {self.model.directory.name} | accuracy | micro-F1 | macro-F1 | changed | mean \\|Δ\\| | max \\|Δ\\| | tensors |")
        print("|---|---|---|---|---|---|---|---|")
        for name, row in zip(["float", *paths], rows):
            metrics = row["metrics"]
            print(f"| {name} | {100 * metrics['accuracy']:.2f} % | {metrics['micro_f1']:.4f} | "
                  f"{metrics['macro_f1']:.4f} | {row['predictions_changed']} of {row['predictions_total']:,} | "
                  f"{row['mean_abs_logit_difference']:.4f} | {row['max_abs_logit_difference']:.2f} | "
                  f"{row['compression_ratio']:.2f} × |")
        print(flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("laconic", help="the executable")
    parser.add_argument("--models", nargs="+", choices=REAL_MODELS, default=list(REAL_MODELS))
    parser.add_argument("--choices", action="store_true", help="what a QConfig chooses, instead of methods")
    args = parser.parse_args()
    for name in args.models:
        with tempfile.TemporaryDirectory() as folder:
            measurement = Measurement(args.laconic, REAL_MODELS[name], Path(folder))
            measurement.choices() if args.choices else measurement.methods()
    return 0


if __name__ == "__main__":
    sys.exit(main())
