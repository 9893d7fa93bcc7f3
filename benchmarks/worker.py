#!/usr/bin/env python3
"""One contender in a process of its own, so that neither threads nor memory of another are in the way.

    worker.py prepare KEY MODEL FOLDER     writes its file; prints its path as JSON
    worker.py serve KEY PATH THREADS       answers each line {"ids", "warm_ups", "runs"} of standard input with
                                           {"samples_ms", "logits", "peak_bytes", "way"}; where a batch can be run in
                                           several ways (peers.ways), in the fastest, found before it is first run
    worker.py texts KEY PATH THREADS MODEL DATA   from texts to logits, with MODEL's tokenizer;
                                           prints {"seconds", "tokenizing_seconds"}, loading left out; of one batch
                                           after the other and as many at once as threads, the faster
"""
import functools
import json
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import peers

BATCH = 32
TRIES = 2  # of each way, after one that warms it up


def peak_bytes():
    """The most memory this process has held."""
    return int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))[1]) * 1024


def prepare(key, model, folder):
    print(json.dumps(str(peers.module_of(key).prepare(key, peers.Source(Path(model), Path(folder))))))


class Runner:
    """A contender, loaded once for each number of streams that a way asks for."""

    def __init__(self, key, path, threads):
        self.pause_s = peers.PEERS[key].pause_s
        self.max_streams = threads if peers.PEERS[key].has_streams else 1
        self.load = functools.cache(lambda num_streams: peers.module_of(key).load(key, path, threads, num_streams))
        self.load(1)
        self.chosen = {}

    @functools.cached_property
    def pool(self):
        return ThreadPoolExecutor(self.max_streams)

    def bind(self, ids, way):
        """A function of nothing that runs a batch in this way: logits in the order of `ids`."""
        runs = [self.load(way.num_streams)([ids[i] for i in group]) for group in way.groups]
        if way.groups == [list(range(len(ids)))]:
            return runs[0]
        order = np.argsort(np.concatenate(way.groups))
        call_all = self.pool.map if way.num_streams > 1 else map
        return lambda: np.concatenate(list(call_all(lambda run: run(), runs)))[order]

    def fastest(self, ids):
        """The way whose best try took the least time; of one batch of these lengths, then remembered."""
        lengths = tuple(map(len, ids))
        if lengths not in self.chosen:
            ways = peers.ways(lengths, self.max_streams)
            self.chosen[lengths] = ways[np.argmin(self.try_all(ids, ways))] if len(ways) > 1 else ways[0]
        return self.chosen[lengths]

    def try_all(self, ids, ways):
        """Milliseconds of the best try of each way; they take turns."""
        runs = [self.bind(ids, way) for way in ways]
        times = np.zeros((1 + TRIES, len(ways)))
        for row in times:
            for i, run in enumerate(runs):
                row[i], _ = timed(run)
                time.sleep(self.pause_s)
        return times[1:].min(axis=0)


def timed(run):
    """Milliseconds, and what it returned."""
    start = time.perf_counter()
    result = run()
    return (time.perf_counter() - start) * 1e3, result


def serve(key, path, threads):
    runner = Runner(key, Path(path), int(threads))
    for line in sys.stdin:
        request = json.loads(line)
        way = runner.fastest(request["ids"])
        run = runner.bind(request["ids"], way)
        samples = []
        for _ in range(request["warm_ups"] + request["runs"]):
            milliseconds, logits = timed(run)
            samples.append(milliseconds)
        print(json.dumps({"samples_ms": samples[request["warm_ups"]:], "logits": logits.tolist(),
                          "peak_bytes": peak_bytes(), "way": way.name}), flush=True)


def run_batches(bind, batches, num_streams):
    """Seconds for all batches, as many at once as there are streams."""
    bind(batches[0])()
    with ThreadPoolExecutor(num_streams) as pool:
        start = time.perf_counter()
        list(pool.map(lambda ids: bind(ids)(), batches))
        return time.perf_counter() - start


def texts(key, path, threads, model, data):
    import workloads  # pylint: disable=import-outside-toplevel  # it needs tokenizers; serving does without
    runner = Runner(key, Path(path), int(threads))
    tokenizer = workloads.read_tokenizer(Path(model))
    config = json.loads((Path(model) / "config.json").read_text(encoding="utf-8"))
    tokenizer.enable_truncation(config["max_position_embeddings"])
    sentences = workloads.read_texts(Path(data))
    tokenizer.encode(sentences[0])
    start = time.perf_counter()
    ids = [encoding.ids for encoding in tokenizer.encode_batch(sentences)]
    tokenizing = time.perf_counter() - start
    ids.sort(key=len)  # batches of like length, as we make them
    batches = [ids[i:i + BATCH] for i in range(0, len(ids), BATCH)]
    seconds = min(run_batches(runner.load(streams), batches, streams) for streams in {1, runner.max_streams})
    print(json.dumps({"seconds": tokenizing + seconds, "tokenizing_seconds": tokenizing}))


if __name__ == "__main__":
    {"prepare": prepare, "serve": serve, "texts": texts}[sys.argv[1]](*sys.argv[2:])
