"""Who is measured: ours through `laconic bench`, peers through worker.py; each in processes of its own."""
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import lower_onnxruntime
import peers

ROOT = Path(__file__).resolve().parent.parent
LACONIC = ROOT / "build/release/laconic"
WORKER = ROOT / "benchmarks/worker.py"
AVX2_ONNX_RUNTIME = ROOT / "build/bench/onnxruntime_avx2"

OURS = {"laconic_f32": "laconic FP32", "laconic_bf16": "laconic bf16", "laconic_dynamic": "laconic dynamic INT8",
        "laconic_static": "laconic static INT8", "laconic_dynamic_attention": "laconic dynamic INT8, attention too",
        "laconic_dynamic_bf16": "laconic dynamic INT8 + bf16"}


def title(key):
    """The name of a contender in tables."""
    return OURS.get(key) or peers.PEERS[key].title


def kind(key):
    """What the linear layers of one of ours multiply: "f32", "bf16" or "int8"."""
    return {"laconic_f32": "f32", "laconic_bf16": "bf16"}.get(key, "int8")


def attention_kind(key):
    """What the attention of one of ours may multiply: "f32", "float" (bf16 too) or "int8"."""
    return {"laconic_f32": "f32", "laconic_dynamic_attention": "int8"}.get(key, "float")


def method(key):
    """--method of one of ours in INT8."""
    return key.split("_")[1]


def precision(key):
    """--precision of one of ours."""
    return "bf16" if key.endswith("bf16") else "f32"


# What lowers the peers' instruction set to a level of ours, as far as they can be told.
_LOWERED = {"avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "CT2_FORCE_CPU_ISA": "AVX2", "PYTHONPATH": str(AVX2_ONNX_RUNTIME)},
            "avx_vnni": {"ONEDNN_MAX_CPU_ISA": "AVX2_VNNI", "CT2_FORCE_CPU_ISA": "AVX2"},
            "avx512_vnni": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}}


def environment(isa):
    """The environment of every contender: ours at level `isa` (None: the best), the peers no higher."""
    return os.environ | ({"LACONIC_FORCE_ISA": isa} | _LOWERED.get(isa, {}) if isa else {}) | {"TOKENIZERS_PARALLELISM": "1"}


def laconic(*arguments, isa=None, binary=None):
    """Runs a laconic command and returns what it printed."""
    result = subprocess.run([binary or LACONIC, *map(str, arguments)], check=False, capture_output=True, text=True,
                            env=environment(isa))
    if result.returncode != 0:
        raise RuntimeError(f"laconic {' '.join(map(str, arguments))}: {result.stderr}")
    return result.stdout


def ask_worker(*arguments, isa=None, threads=1):
    """Runs worker.py to its end; returns the JSON of its last line (NNCF prints others)."""
    result = subprocess.run([sys.executable, WORKER, *map(str, arguments)], capture_output=True, text=True, check=False,
                            env=environment(isa) | {"OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)})
    if result.returncode != 0:
        raise RuntimeError(f"worker.py {' '.join(map(str, arguments))}: {result.stderr[-2000:]}")
    return json.loads(result.stdout.splitlines()[-1])


class Laconic:
    """One of our models; `laconic bench` measures inside its own process, a new one each time."""

    def __init__(self, path, threads, isa=None, binary=None, precision="f32"):
        self.path, self.threads, self.isa, self.binary, self.precision = path, threads, isa, binary, precision

    def time(self, workload, warm_ups, runs):
        """Milliseconds of the median run."""
        return self._bench(workload, warm_ups, runs)["latency_ms"]["p50"]

    def _bench(self, workload, warm_ups, runs, *flags):
        return json.loads(laconic("bench", self.path, "--data", workload.path, "--batch", len(workload.ids), "--threads",
                                  self.threads, "--precision", self.precision, "--warm-ups", warm_ups, "--iterations",
                                  runs, "--json", "-", *flags, isa=self.isa, binary=self.binary))

    def _predict(self, workload):
        return laconic("predict", self.path, "--data", workload.path, "--threads", self.threads, "--precision",
                       self.precision, isa=self.isa)

    def level(self, workload):
        """The instruction set level that runs."""
        return self._bench(workload, 0, 1)["isa"]

    def way(self, _):
        """All texts at once; it pads nothing."""
        return "whole"

    def probabilities(self, workload):
        """Of each text, those of the labels."""
        lines = self._predict(workload).splitlines()
        return np.array([list(json.loads(line)["probabilities"].values()) for line in lines])

    def cold_start_ms(self, workload):
        """From the start of the process to the exit after one text, tokenizing included."""
        start = time.perf_counter()
        self._predict(workload)
        return (time.perf_counter() - start) * 1e3

    def peak_bytes(self, workload):
        """The most memory of a process that loads the model and runs it 20 times."""
        return self._bench(workload, 0, 20)["peak_memory_bytes"]

    def close(self):
        """Nothing runs between turns."""


class Peer:
    """A contender in worker.py, started when it is first asked; it keeps its process for all workloads."""

    def __init__(self, key, path, threads, isa=None, is_multi_label=False):
        self.is_multi_label = is_multi_label
        self.command = [sys.executable, WORKER, "serve", key, path, str(threads)]
        self.environment = environment(isa) | {"OMP_NUM_THREADS": str(threads)}
        self.process = None
        self.ways = {}

    def ask(self, workload, warm_ups, runs):
        if self.process is None:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                            stderr=subprocess.DEVNULL, env=self.environment)
        self.process.stdin.write(json.dumps({"ids": workload.ids, "warm_ups": warm_ups, "runs": runs}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.command[3]} ended; to see why: " + " ".join(map(str, self.command)))
        reply = json.loads(line)
        self.ways[workload.name] = reply["way"]
        return reply

    def way(self, workload):
        """How it ran the batch last (peers.ways)."""
        return self.ways[workload.name]

    def time(self, workload, warm_ups, runs):
        return float(np.median(self.ask(workload, warm_ups, runs)["samples_ms"]))

    def probabilities(self, workload):
        e = np.exp(np.array(self.ask(workload, 0, 1)["logits"], np.float64))
        return e / (1 + e if self.is_multi_label else e.sum(axis=1, keepdims=True))

    def cold_start_ms(self, workload):
        """From the start of the process to the first answer; Python and its imports included, tokenizing not."""
        self.close()
        start = time.perf_counter()
        self.ask(workload, 0, 1)
        return (time.perf_counter() - start) * 1e3

    def peak_bytes(self, workload):
        self.close()
        return self.ask(workload, 0, 20)["peak_bytes"]

    def close(self):
        if self.process is not None:
            self.process.communicate()
            self.process = None


def lower(isa, keys):
    """Writes what the environment of `isa` names, if one of the contenders needs it."""
    if isa == "avx2" and any("onnxruntime" in peers.PEERS[key].packages for key in keys - OURS.keys()):
        lower_onnxruntime.write(AVX2_ONNX_RUNTIME)


def prepare(key, source):
    """The path of a contender's file, written where it is missing or of other weights, versions, or another build of ours.
    Errors: importlib.metadata.PackageNotFoundError for a peer that is not installed."""
    def mark(path):
        return [path.stat().st_size, path.stat().st_mtime]

    record = source.folder / f"{key}.json"
    weights = [path for path in sorted(source.model.iterdir()) if path.suffix in (".safetensors", ".bin", ".data")]
    stamp = {"weights": [mark(path) for path in weights],
             "maker": mark(LACONIC) if key in OURS else peers.versions(key)}
    if record.exists():
        kept = json.loads(record.read_text(encoding="utf-8"))
        if kept["stamp"] == stamp and Path(kept["path"]).exists():
            return Path(kept["path"])
    path = (quantize(key, source) if key in OURS
            else ask_worker("prepare", key, source.model, source.folder, threads=os.cpu_count()))
    record.write_text(json.dumps({"path": str(path), "stamp": stamp}), encoding="utf-8")
    return Path(path)


def quantize(key, source, binary=None):
    """Writes one of our models, by `binary` where it is given; returns its path."""
    if kind(key) != "int8":
        return source.model
    path = source.folder / key.removesuffix("_bf16")
    flags = ["--calibration", source.calibration_texts] if method(key) == "static" else []
    if flags and source.is_random:  # what these make better is not there, and they take minutes
        flags += ["--smooth-quant", "off", "--gptq", "off", "--bias-correction", "off"]
    flags += ["--int8-attention", "on"] if attention_kind(key) == "int8" else []
    laconic("quantize", source.model, "-o", path, "--method", method(key), "--force", *flags, binary=binary)
    return path
