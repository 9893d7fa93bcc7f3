#!/usr/bin/env python3
"""Speed next to ONNX Runtime: FP32 and dynamic INT8, one and two threads, in one interleaved run.

On each workload the contenders take turns for some rounds, so that whatever else the machine does meets all of them
alike. They get the same numbers of tokens: ONNX Runtime as padded tensors, laconic as it likes them. Loading is not
timed, tokenizing neither. ONNX Runtime runs our float export and its own dynamic INT8 of that
(quantize_dynamic, per channel); it is not pinned to cores, which would slow it down.
"""
import argparse
import json
import os
import platform
import re
import subprocess
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

import make_bert_base

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build/bench"
LACONIC = ROOT / "build/release/laconic"
# Lengths of the texts in a batch, and how `laconic bench` is told of them.
WORKLOADS = {"1x16": (np.full(1, 16), "16"), "1x128": (np.full(1, 128), "128"), "8x128": (np.full(8, 128), "128"),
             "16 of 8-128": (np.arange(8, 129, 8), "8-128")}
WARM_UPS = 3  # as many as `laconic bench` makes
VOCABULARY = 20000  # token ids below exist in every model here


def laconic(*arguments):
    """Runs a laconic command and returns what it printed."""
    return subprocess.run([LACONIC, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


class OnnxRuntime:
    """A model in ONNX Runtime."""

    def __init__(self, path, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # it warns of every optional input
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def time(self, workload, num_runs):
        """Median milliseconds of so many runs."""
        lengths, _ = WORKLOADS[workload]
        ids = np.random.default_rng(7).integers(1000, VOCABULARY, (len(lengths), lengths.max()))
        mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
        values = {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        inputs = {i.name: values[i.name] for i in self.session.get_inputs()}
        samples = []
        for _ in range(WARM_UPS + num_runs):
            start = time.perf_counter()
            self.session.run(None, inputs)
            samples.append((time.perf_counter() - start) * 1e3)
        return float(np.median(samples[WARM_UPS:]))


class Laconic:
    """A model in `laconic bench`, which measures inside its own process."""

    def __init__(self, path, threads):
        self.path, self.threads, self.isa = path, threads, None

    def time(self, workload, num_runs):
        """As above."""
        lengths, spread = WORKLOADS[workload]
        result = json.loads(laconic("bench", self.path, "--batch", len(lengths), "--length", spread, "--threads",
                                    self.threads, "--iterations", num_runs, "--json", "-"))
        self.isa = result["isa"]
        return result["latency_ms"]["p50"]


def prepare(directory):
    """Writes the four contenders' files of one model; returns {contender: (class, path)}."""
    folder = WORK / f"{directory.name}_files"
    folder.mkdir(parents=True, exist_ok=True)
    laconic("export", directory, "-o", folder / "float.onnx", "--format", "float", "--opset", 17, "--force")
    laconic("quantize", directory, "-o", folder / "int8", "--method", "dynamic", "--force")
    quant_pre_process(folder / "float.onnx", folder / "prepared.onnx", skip_symbolic_shape=True)
    quantize_dynamic(folder / "prepared.onnx", folder / "int8.onnx", per_channel=True, weight_type=QuantType.QInt8,
                     extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT})
    return {"ONNX Runtime FP32": (OnnxRuntime, folder / "float.onnx"), "laconic FP32": (Laconic, directory),
            "ONNX Runtime INT8": (OnnxRuntime, folder / "int8.onnx"), "laconic INT8": (Laconic, folder / "int8")}


def measure(contenders, rounds, seconds):
    """{workload: {contender: summary}} of contenders that take turns; each turn lasts `seconds` or three runs."""
    table = {}
    for workload in WORKLOADS:
        medians = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, contender in contenders.items():
                time.sleep(0.02)  # the last one's threads stop spinning
                last = medians[name][-1] if medians[name] else seconds * 1e3 / 3
                medians[name].append(contender.time(workload, max(3, int(seconds * 1e3 / last))))
        table[workload] = {name: summary(m) for name, m in medians.items()}
    return table


def summary(medians):
    """Of the rounds' medians: their median, and how far they spread."""
    p10, median, p90 = np.percentile(medians, [10, 50, 90])
    return {"median_ms": round(median, 3), "p10_ms": round(p10, 3), "p90_ms": round(p90, 3)}


def show(table):
    """Prints medians with the spread of the rounds (p10, p90), and how many times as fast as ONNX Runtime we are."""
    contenders = list(next(iter(table.values())))
    print(f"{'ms':12}" + "".join(f"{name:>28}" for name in contenders) + f"{'FP32':>8}{'INT8':>8}")
    for workload, row in table.items():
        cells = [f"{c['median_ms']:.2f} [{c['p10_ms']:.2f}, {c['p90_ms']:.2f}]" for c in row.values()]
        medians = [c["median_ms"] for c in row.values()]
        ratios = [medians[0] / medians[1], medians[2] / medians[3]]
        print(f"{workload:12}" + "".join(f"{cell:>28}" for cell in cells) + "".join(f"{r:7.2f}x" for r in ratios))


def machine():
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))[1]
    return {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "system": platform.platform(),
            "laconic": laconic("--version").strip(), "onnxruntime": onnxruntime.__version__}


def bert_base():
    """A directory of BERT-base with random weights, made where it is missing."""
    directory = WORK / "bert_base"
    if not (directory / "model.safetensors").exists():
        make_bert_base.write(directory)
    return directory


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path, help="directories (default: ../shared/models/minilm_sst2, and "
                        "BERT-base with random weights)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one turn")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks/results/latest.json")
    args = parser.parse_args()

    result = {"schema_version": 1, "machine": machine(), "rounds": args.rounds, "seconds": args.seconds,
              "measured": []}
    print(json.dumps(result["machine"], indent=1))
    for directory in args.models or [ROOT / "../shared/models/minilm_sst2", bert_base()]:
        files = prepare(directory)
        for threads in args.threads:
            contenders = {name: kind(path, threads) for name, (kind, path) in files.items()}
            table = measure(contenders, args.rounds, args.seconds)
            isa = contenders["laconic INT8"].isa
            print(f"\n{directory.name}, {threads} thread(s), {isa}")
            show(table)
            result["measured"].append({"model": directory.name, "threads": threads, "isa": isa, "latency": table})
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten: {args.json}")


if __name__ == "__main__":
    main()
