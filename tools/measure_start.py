#!/usr/bin/env python3
"""Measures how soon an INT8 classifier of BERT-base's size answers for the first time, with packed weights kept beside it.

    .venv/bin/python tools/measure_start.py build/release/laconic                   # random weights; 1.1 GB of disk
    .venv/bin/python tools/measure_start.py build/release/laconic my-bert-int8 ...  # these models; leaves a pack cache in them

From the start of the process to its answer to one text of 16 tokens, loading and tokenizing included, page cache warm: median
and least of --rounds, with the cache and without it in turns. Exits with 1 if the median with it is beyond the limit.
"""
import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_FIRST_ANSWER_MS = 150
NUM_TOKENS = 16
FLAGS = {"packing anew": [], "--pack-cache": ["--pack-cache"]}


def random_model(laconic, folder):
    subprocess.run([sys.executable, ROOT / "benchmarks/make_bert_base.py", folder / "float"], stdout=subprocess.DEVNULL,
                   check=True)
    subprocess.run([laconic, "quantize", folder / "float", "-o", folder / "int8"], stdout=subprocess.DEVNULL, check=True)
    return folder / "int8"


def first_answer_ms(command):
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        answer = process.stdout.readline()
        elapsed = (time.perf_counter() - start) * 1e3
        process.stdout.read()
    if process.returncode != 0 or not answer:
        raise subprocess.CalledProcessError(process.returncode, command)
    return elapsed


def measure(laconic, model, threads, rounds):
    """{name: milliseconds of each round}; the processes of one more round warm the page cache and write the pack cache."""
    text = " ".join("a" * (NUM_TOKENS - 2))  # and [CLS] and [SEP]
    took = {name: [] for name in FLAGS}
    for _ in range(rounds + 1):
        for name, flags in FLAGS.items():
            took[name].append(first_answer_ms([laconic, "predict", model, "--text", text, "--threads", str(threads), *flags]))
    return {name: times[1:] for name, times in took.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("laconic", type=Path, help="the executable")
    parser.add_argument("models", type=Path, nargs="*")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=11)
    args = parser.parse_args()
    kept = True
    with tempfile.TemporaryDirectory() as folder:
        for model in args.models or [random_model(args.laconic, Path(folder))]:
            for threads in args.threads:
                print(f"{model}, threads: {threads}")
                for name, times in measure(args.laconic, model, threads, args.rounds).items():
                    median = statistics.median(times)
                    is_kept = name != "--pack-cache" or median <= MAX_FIRST_ANSWER_MS
                    print(f"  first answer, {name:<13} {median:6.1f} ms (least {min(times):.1f})"
                          f"{'' if is_kept else f'  over {MAX_FIRST_ANSWER_MS} ms'}")
                    kept = kept and is_kept
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
