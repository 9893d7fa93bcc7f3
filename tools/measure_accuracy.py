#!/usr/bin/env python3
"""Measures what each method costs the three real classifiers, and what refitting the head wins back.

    tools/measure_accuracy.py build/release/laconic                       # all, in about a quarter of an hour
    tools/measure_accuracy.py build/release/laconic --models minilm_nlupp

Prints a Markdown table a model. The strength of the refit is chosen on the validation set, by the mean distance of the
logits; everything in the table is measured on the test set, on which nothing was chosen.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

SHARED = Path("../shared")
BN, FOLDS = SHARED / "data/bn_cyberbully5", SHARED / "data/nlupp/banking"
# Name -> tokens a text is cut to, and the three sets
MODELS = {
    "minilm_sst2": (96, *[[SHARED / "data/sst2" / f"{part}.jsonl"] for part in ("train", "validation", "test")]),
    "minilm_nlupp": (64, *[[FOLDS / f"fold{i}.json" for i in part] for part in (range(16), (16, 17), (18, 19))]),
    "me5_bn5": (96, *[[BN / f"{part}.csv"] for part in ("train", "validation", "test")]),
}
METHODS = {
    "dynamic INT8": [],
    "… embeddings in f32": ["--layers", "linear"],
    "… classifier in f32": ["--exclude", "classifier*"],
    "bf16 weights": ["--method", "bf16"],
    "fp16 weights": ["--method", "fp16"],
}
PENALTIES = (0.01, 0.1, 1)


class Measurement:
    def __init__(self, laconic, name, folder):
        self.laconic, self.folder, self.base = laconic, folder, SHARED / "models" / name
        self.max_length, self.train, self.validation, self.test = MODELS[name]

    def run(self, *arguments):
        subprocess.run([self.laconic, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)

    def compare(self, candidates, data):
        """The rows of `laconic compare`, the base first."""
        report = self.folder / "compare.json"
        self.run("compare", self.base, *candidates, "--data", *data, "--max-length", self.max_length, "--batch", 32,
                 "--json", report)
        return json.loads(report.read_text(encoding="utf-8"))["models"]

    def refit(self, quantized):
        """Name and directory of the best of the refits, by the validation set."""
        paths = []
        for penalty in PENALTIES:
            paths.append(self.folder / f"refit_{penalty}")
            self.run("fit-head", quantized, "--teacher", self.base, "--data", *self.train, "--max-length",
                     self.max_length, "--penalty", penalty, "-o", paths[-1])
        distances = [row["mean_abs_logit_difference"] for row in self.compare(paths, self.validation)[1:]]
        best = distances.index(min(distances))
        return f"… head refitted (penalty {PENALTIES[best]})", paths[best]

    def table(self):
        paths = {}
        for name, flags in METHODS.items():
            paths[name] = self.folder / str(len(paths))
            self.run("quantize", self.base, "-o", paths[name], *flags)
        name, path = self.refit(paths["dynamic INT8"])
        paths[name] = path
        rows = self.compare(paths.values(), self.test)
        print(f"| {self.base.name} | accuracy | micro-F1 | macro-F1 | changed | mean \\|Δ\\| | max \\|Δ\\| | tensors |")
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
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    args = parser.parse_args()
    for name in args.models:
        with tempfile.TemporaryDirectory() as folder:
            Measurement(args.laconic, name, Path(folder)).table()
    return 0


if __name__ == "__main__":
    sys.exit(main())
