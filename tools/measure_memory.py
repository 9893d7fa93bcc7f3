#!/usr/bin/env python3
"""Measures what quantizing and serving classifiers of BanglaBERT's shape takes of memory, loading included.

    .venv/bin/python tools/measure_memory.py build/release/laconic                # both vocabularies; 0.9 GB of disk
    .venv/bin/python tools/measure_memory.py build/release/laconic --words 32000

Peak resident memory is the kernel's (ru_maxrss): own memory, and pages of mapped files. Exits with 1 if a figure is beyond
its limit.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MIN_COMPRESSION = 3.9       # float32 tensors / INT8 tensors
MAX_WHILE_QUANTIZING = 1.3  # peak / float32 file
MAX_WHILE_SERVING = 1.4     # peak / INT8 files


def peak_bytes(command):
    """Runs `command` and returns its peak resident memory."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    return usage.ru_maxrss * 1024


def measure(laconic, words, folder):
    """(name, value, limit, whether it is kept) of each figure."""
    model, quantized, report = folder / "float", folder / "int8", folder / "report.json"
    subprocess.run([sys.executable, ROOT / "tools/models/make_electra_base.py", "--words", str(words), "-o", model],
                   stdout=subprocess.DEVNULL, check=True)
    float_bytes = (model / "model.safetensors").stat().st_size
    quantizing = peak_bytes([laconic, "quantize", model, "-o", quantized, "--json", report]) / float_bytes
    compression = json.loads(report.read_text(encoding="utf-8"))["compression_ratio"]
    int8_bytes = sum((quantized / name).stat().st_size for name in ("model.onnx", "model.onnx.data"))
    serving = peak_bytes([laconic, "bench", quantized, "--batch", "1", "--length", "128", "--threads", "1",
                          "--iterations", "5"]) / int8_bytes
    print(f"ELECTRA-base of {words} words: float32 {float_bytes / 1e6:.1f} MB, INT8 {int8_bytes / 1e6:.1f} MB")
    return [("compression", compression, f">= {MIN_COMPRESSION}", compression >= MIN_COMPRESSION),
            ("peak while quantizing / float32 file", quantizing, f"<= {MAX_WHILE_QUANTIZING}",
             quantizing <= MAX_WHILE_QUANTIZING),
            ("peak while serving 1 x 128 / INT8 files", serving, f"<= {MAX_WHILE_SERVING}", serving <= MAX_WHILE_SERVING)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("laconic", type=Path, help="the executable")
    parser.add_argument("--words", type=int, nargs="+", default=[32000, 102025])
    args = parser.parse_args()
    kept = True
    for words in args.words:
        with tempfile.TemporaryDirectory() as folder:
            for name, value, limit, is_kept in measure(args.laconic, words, Path(folder)):
                print(f"  {name:<40} {value:6.3f}  {limit}{'' if is_kept else '  NOT KEPT'}")
                kept = kept and is_kept
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
