#!/usr/bin/env python3
"""One contender in a process of its own, so that neither threads nor memory of another are in the way.

    worker.py prepare KEY MODEL FOLDER     writes its file; prints its path as JSON
    worker.py serve KEY PATH THREADS       answers each line {"ids", "warm_ups", "runs"} of standard input with
                                           {"samples_ms", "logits", "peak_bytes"}
    worker.py texts KEY PATH THREADS MODEL DATA   from texts to logits, with MODEL's tokenizer;
                                           prints {"seconds", "tokenizing_seconds"}, loading left out
"""
import json
import re
import sys
import time
from pathlib import Path

import numpy as np

import peers
import workloads

BATCH = 32


def peak_bytes():
    """The most memory this process has held."""
    return int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))[1]) * 1024


def prepare(key, model, folder):
    print(json.dumps(str(peers.module_of(key).prepare(key, peers.Source(Path(model), Path(folder))))))


def serve(key, path, threads):
    bind = peers.module_of(key).load(key, Path(path), int(threads))
    for line in sys.stdin:
        request = json.loads(line)
        run = bind(request["ids"])
        samples = []
        for _ in range(request["warm_ups"] + request["runs"]):
            start = time.perf_counter()
            logits = run()
            samples.append((time.perf_counter() - start) * 1e3)
        print(json.dumps({"samples_ms": samples[request["warm_ups"]:], "logits": logits.tolist(),
                          "peak_bytes": peak_bytes()}), flush=True)


def texts(key, path, threads, model, data):
    bind = peers.module_of(key).load(key, Path(path), int(threads))
    tokenizer = workloads.read_tokenizer(Path(model))
    config = json.loads((Path(model) / "config.json").read_text(encoding="utf-8"))
    tokenizer.enable_truncation(config["max_position_embeddings"])
    sentences = workloads.read_texts(Path(data))
    bind([tokenizer.encode(sentences[0]).ids])()
    start = time.perf_counter()
    ids = [encoding.ids for encoding in tokenizer.encode_batch(sentences)]
    tokenized = time.perf_counter()
    order = np.argsort([len(row) for row in ids])  # batches of like length, as we make them
    for first in range(0, len(order), BATCH):
        bind([ids[i] for i in order[first:first + BATCH]])()
    print(json.dumps({"seconds": time.perf_counter() - start, "tokenizing_seconds": tokenized - start}))


if __name__ == "__main__":
    {"prepare": prepare, "serve": serve, "texts": texts}[sys.argv[1]](*sys.argv[2:])
