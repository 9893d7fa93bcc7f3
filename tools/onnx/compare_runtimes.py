#!/usr/bin/env python3
"""Compares exports of the three real models in ONNX Runtime or OpenVINO with our runtime, over their test sets.

    .venv/bin/python tools/onnx/compare_runtimes.py build/release/laconic
    .venv/bin/python tools/onnx/compare_runtimes.py build/release/laconic --models minilm_sst2 --formats dynamic \\
        --opsets 17 --texts 200

What is checked of each file, and what is printed, is what tools/check_export.py says. Exits with 1 where fewer than
99.8 % of a test set's decisions are the same, with 77 (skipped) where ../shared or ONNX Runtime is missing.
"""
import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
try:
    import check_export
    from models_and_texts import REAL_MODELS, SHARED, read_texts, write_texts
except ImportError as missing:
    print(f"compare_runtimes: skipped: {missing}")
    sys.exit(77)

FORMATS = ["float", "dynamic", "qdq", "qoperator"]
CALIBRATION_FILES, CALIBRATION_BATCHES = 3, 8  # of the training set, and batches of 32 texts of these


def compare(laconic, name, kind, opsets, num_texts, runtime, folder):
    """The smallest share of same decisions over the opsets."""
    original = REAL_MODELS[name]
    texts = [text for path in original.test for text in read_texts(path)][:num_texts]
    data, predictions = folder / "texts.jsonl", folder / "predictions.jsonl"
    write_texts(data, texts)

    def run(*arguments):
        subprocess.run([laconic, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)

    model = original.directory if kind == "float" else folder / name
    if kind == "dynamic":
        run("quantize", original.directory, "-o", model, "--force")
    elif kind in ("qdq", "qoperator"):
        run("quantize", original.directory, "-o", model, "--force", "--method", "static", "--max-length", original.max_length,
            "--calibration", *original.train[:CALIBRATION_FILES], "--calibration-batches", CALIBRATION_BATCHES)
    run("predict", model, "--data", data, "--max-length", original.max_length, "-o", predictions, "--force")
    agreements = []
    for opset in opsets:
        path = folder / f"{name}_{kind}_{opset}.onnx"
        run("export", model, "-o", path, "--format", kind, "--opset", opset)
        agreements.append(check_export.compare(path, model, texts, check_export.read_predictions(predictions),
                                               original.max_length, runtime))
    return min(agreements)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("laconic", help="the executable")
    parser.add_argument("--models", nargs="+", choices=REAL_MODELS, default=list(REAL_MODELS))
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
