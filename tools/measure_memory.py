#!/usr/bin/env python3
"""Measures what quantizing and serving classifiers of BanglaBERT's shape takes of memory, loading included.

    .venv/bin/python tools/measure_memory.py build/release/laconic                # both vocabularies; 0.9 GB of disk
    .venv/bin/python tools/measure_memory.py build/release/laconic --words 32000
    .venv/bin/python tools/measure_memory.py build/release/laconic --large        # an ONNX model over 2 GB; 6 GB of disk

Peak resident memory is the kernel's (ru_maxrss, VmHWM): own memory, and pages of mapped files. Exits with 1 if a figure is
beyond its limit.
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
MAX_SERVING_MB = {32000: 150}  # by words, of texts that touch every page of the word embeddings


def peak_bytes(command):
    """Runs `command` and returns its peak resident memory."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    return usage.ru_maxrss * 1024


def write_texts(vocabulary, path):
    """Texts of 128 tokens that hold every fourth word: 768 bytes each, so at least one of every page."""
    words = [word for word in vocabulary.read_text(encoding="utf-8").split("\n")[1::4] if word.isalpha()]
    assert len(words) > 3000
    path.write_text("".join(json.dumps({"text": " ".join(words[i:i + 126])}) + "\n" for i in range(0, len(words), 126)))


def serving_mb(laconic, model, texts, *flags):
    """VmHWM of a process that loads `model` and runs `texts` one by one."""
    report = subprocess.run([laconic, "bench", model, "--data", texts, "--batch", "1", "--json", "-", *flags],
                            stdout=subprocess.PIPE, check=True).stdout
    return json.loads(report)["peak_memory_bytes"] / 1e6


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
    write_texts(model / "vocab.txt", folder / "texts.jsonl")
    print(f"ELECTRA-base of {words} words: float32 {float_bytes / 1e6:.1f} MB, INT8 {int8_bytes / 1e6:.1f} MB")
    figures = [("compression", compression, f">= {MIN_COMPRESSION}", compression >= MIN_COMPRESSION),
               ("peak while quantizing / float32 file", quantizing, f"<= {MAX_WHILE_QUANTIZING}",
                quantizing <= MAX_WHILE_QUANTIZING),
               ("peak while serving 1 x 128 / INT8 files", serving, f"<= {MAX_WHILE_SERVING}", serving <= MAX_WHILE_SERVING)]
    limit = MAX_SERVING_MB.get(words, float("inf"))
    for name, flags in (("", []), (", making a pack cache", ["--pack-cache"]), (", from the pack cache", ["--pack-cache"])):
        peak = serving_mb(laconic, quantized, folder / "texts.jsonl", *flags)
        figures.append((f"peak while serving 1 x 128, MB{name}", peak, f"<= {limit}", peak <= limit))
    return figures


def measure_large(laconic, folder):
    """A model over protobuf's 2 GB, as ONNX with external data: imported, quantized and exported."""
    words, texts = 650_000, folder / "texts.jsonl"
    home, quantized = folder / "float", folder / "int8"
    subprocess.run([sys.executable, ROOT / "tools/models/make_electra_base.py", "--words", str(words), "-o", home],
                   stdout=subprocess.DEVNULL, check=True)
    texts.write_text("".join(json.dumps({"text": f"{chr(97 + i % 26)} word {i} of some more words"}) + "\n"
                             for i in range(64)))
    exporting = peak_bytes([laconic, "export", home, "-o", home / "model.onnx", "--external-data"])
    (home / "model.safetensors").unlink()  # from here on there is only the ONNX model with its tokenizer
    float_bytes = (home / "model.onnx.data").stat().st_size
    print(f"ELECTRA-base of {words} words as ONNX with external data: {float_bytes / 1e6:.1f} MB")
    assert float_bytes > 1 << 31
    peaks = [("exporting float with external data", exporting)]
    for method, flags in (("dynamic", []), ("static", ["--calibration", texts])):
        quantizing = peak_bytes([laconic, "quantize", home, "-o", quantized, "--force", "--method", method, *flags])
        peaks.append((f"quantizing, {method}", quantizing))
        peaks.append((f"exporting {method} INT8 in one file",
                      peak_bytes([laconic, "export", quantized, "-o", folder / "int8.onnx", "--force"])))
    return [(f"peak of {name} / float file", peak / float_bytes, "< 1", peak < float_bytes) for name, peak in peaks]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("laconic", type=Path, help="the executable")
    parser.add_argument("--words", type=int, nargs="+", default=[32000, 102025])
    parser.add_argument("--large", action="store_true", help="the model over 2 GB instead")
    args = parser.parse_args()
    kept = True
    for words in [None] if args.large else args.words:
        with tempfile.TemporaryDirectory() as folder:
            figures = measure_large(args.laconic, Path(folder)) if args.large else measure(args.laconic, words, Path(folder))
            for name, value, limit, is_kept in figures:
                print(f"  {name:<55} {value:7.3f}  {limit}{'' if is_kept else '  NOT KEPT'}")
                kept = kept and is_kept
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
