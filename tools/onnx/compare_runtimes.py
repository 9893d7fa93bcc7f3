#!/usr/bin/env python3
"""Compares exports of the three real models in ONNX Runtime or OpenVINO with our runtime, over their test sets.

    .venv/bin/python tools/onnx/compare_runtimes.py build/release/laconic
    .venv/bin/python tools/onnx/compare_runtimes.py build/release/laconic --models minilm_sst2 --formats dynamic \\
        --opsets 17 --texts 200

What is checked of each file, and what is printed, is what tools/check_export.py says. Exits with 1 where fewer than
99.8 % of a test set's decisions are the same, with 77 (skipped) where ../shared or ONNX Runtime is missing.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
try:
    import check_export
except ImportError as missing:
    print(f"compare_runtimes: skipped: {missing}")
    sys.exit(77)

SHARED = Path("../shared")
# Name -> (test set, tokens a text is cut to, texts to calibrate with)
MODELS = {"minilm_sst2": (["sst2/test.jsonl"], 96, ["sst2/train.jsonl"]),
          "minilm_nlupp": (["nlupp/banking/fold18.json", "nlupp/banking/fold19.json"], 64,
                           ["nlupp/banking/fold0.json", "nlupp/banking/fold1.json", "nlupp/banking/fold2.json"]),
          "me5_bn5": (["bn_cyberbully5/test.csv"], 96, ["bn_cyberbully5/train.csv"])}
FORMATS = ["float", "dynamic", "qdq", "qoperator"]
CALIBRATION_BATCHES = 8  # of 32 texts


def compare(laconic, name, kind, opsets, num_texts, runtime, folder):
    """The smallest share of same decisions over the opsets."""
    files, max_length, calibration = MODELS[name]
    texts = [text for file in files for text in check_export.read_texts(SHARED / "data" / file)][:num_texts]
    data, predictions = folder / "texts.jsonl", folder / "predictions.jsonl"
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")

    def run(*arguments):
        subprocess.run([laconic, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)

    model = SHARED / "models" / name
    if kind == "dynamic":
        run("quantize", model, "-o", folder / name, "--force")
        model = folder / name
    elif kind in ("qdq", "qoperator"):
        texts_of = [SHARED / "data" / file for file in calibration]
        run("quantize", model, "-o", folder / name, "--force", "--method", "static", "--max-length", max_length,
            "--calibration", *texts_of, "--calibration-batches", CALIBRATION_BATCHES)
        model = folder / name
    run("predict", model, "--data", data, "--max-length", max_length, "-o", predictions, "--force")
    agreements = []
    for opset in opsets:
        path = folder / f"{name}_{kind}_{opset}.onnx"
        run("export", model, "-o", path, "--format", kind, "--opset", opset)
        agreements.append(check_export.compare(path, model, texts, check_export.read_predictions(predictions),
                                               max_length, runtime))
    return min(agreements)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("laconic", help="the executable")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--opsets", nargs="+", type=int, default=[14, 17])
    parser.add_argument("--texts", type=int, help="only so many of each set")
    parser.add_argument("--runtime", choices=check_export.RUNTIMES, default="onnxruntime")
    args = parser.parse_args()
    if not SHARED.exists():
        print(f"compare_runtimes: skipped: no {SHARED}")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        agreements = [compare(args.laconic, name, kind, args.opsets, args.texts, args.runtime, Path(folder))
                      for name in args.models for kind in args.formats]
    return 0 if min(agreements) >= check_export.MIN_AGREEMENT else 1


if __name__ == "__main__":
    sys.exit(main())
