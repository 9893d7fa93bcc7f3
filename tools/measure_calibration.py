#!/usr/bin/env python3
"""Measures what calibrating on a long stream of activations takes of memory.

    .venv/bin/python tools/measure_calibration.py build/release/laconic [--gigabytes 3]

Calibrates ../shared/models/minilm_sst2 with its training texts, again and again, until its linear layers' inputs add up
to so many bytes. Exits with 1 if peak resident memory is over 200 MB more than for a single text, which stands for the
model; with 77, skipped, if the model is not there.
"""
import argparse
import itertools
import json
import sys
import tempfile
from pathlib import Path

from measure_memory import peak_bytes
from models_and_texts import REAL_MODELS

MODEL = REAL_MODELS["minilm_sst2"]
MAX_BEYOND_MODEL = 200e6
BYTES_A_TEXT = 1.3e6  # more or less


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("laconic", type=Path, help="the executable")
    parser.add_argument("--gigabytes", type=float, default=3)
    args = parser.parse_args()
    if not MODEL.directory.exists():
        print(f"skipped: {MODEL.directory} is not there")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        data, report = Path(folder, "texts.jsonl"), Path(folder, "report.json")
        lines = MODEL.train[0].read_text(encoding="utf-8").splitlines()

        def run(num_texts):
            chosen = itertools.islice(itertools.cycle(lines), num_texts)
            data.write_text("\n".join(chosen) + "\n", encoding="utf-8")
            peak = peak_bytes([args.laconic, "calibrate", MODEL.directory, "--data", data, "-o", Path(folder, "table.json"), "--force",
                               "--json", report])
            return peak, 4 * json.loads(report.read_text(encoding="utf-8"))["elements"]

        alone, _ = run(1)
        num_texts, streamed = 0, 0
        while streamed < args.gigabytes * 1e9:
            num_texts = int(1.1 * max(args.gigabytes * 1e9 / BYTES_A_TEXT, num_texts))
            peak, streamed = run(num_texts)
    beyond = peak - alone
    print(f"{num_texts} texts, {streamed / 1e9:.2f} GB of activations: peak {peak / 1e6:.1f} MB, with one text {alone / 1e6:.1f} MB; "
          f"beyond the model {beyond / 1e6:.1f} MB, limit {MAX_BEYOND_MODEL / 1e6:.0f} MB")
    return 0 if beyond <= MAX_BEYOND_MODEL else 1


if __name__ == "__main__":
    sys.exit(main())
