#!/usr/bin/env python3
"""Speed next to other runtimes: interleaved in one run, from the same weights, on the same texts.

On each workload the contenders take turns for some rounds, so that whatever else the machine does meets all of them
alike; each has processes of its own. Loading is not timed, tokenizing neither; peers get padded tensors or lists of ids,
as they like them. Then the start of a process to its first answer, its memory, and from texts to labels.
docs/benchmarks.md says how to read the result. Peers whose packages are missing are skipped, and named.
"""
import argparse
import importlib.metadata
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import contenders as c
import make_bert_base
import peers
import workloads as w
from contenders import OURS, ROOT, Laconic, Peer, ask_worker, laconic, title

WORK = ROOT / "build/bench"
SHARED = ROOT / "../shared"
CALIBRATION_TEXTS = 128
PARTS = ("latency", "start", "texts")
CPU_NUMBERS = {"family": "cpu family", "model": "model", "stepping": "stepping"}  # what /proc/cpuinfo calls them


def bert_base():
    """A directory of BERT-base with random weights, made where it is missing; with MiniLM's vocabulary where it is there."""
    directory = WORK / "bert_base"
    if not (directory / "model.safetensors").exists():
        vocabulary = SHARED / "models/minilm_sst2/vocab.txt"
        make_bert_base.write(directory, vocabulary if vocabulary.exists() else None)
    return directory


def chosen_models(names):
    """The directories of --models; by default ../shared/models/minilm_sst2 and BERT-base."""
    return [bert_base() if str(name) == "bert_base" else existing(name, "--models").resolve()
            for name in names or [SHARED / "models/minilm_sst2", Path("bert_base")]]


def make_source(model, folder, sentences):
    """What ours are quantized from: weights, and of `sentences` the texts to calibrate with."""
    source = peers.Source(model, folder, is_random=model == WORK / "bert_base")
    folder.mkdir(parents=True, exist_ok=True)
    texts = sentences[:CALIBRATION_TEXTS // 8 if source.is_random else CALIBRATION_TEXTS]
    w.write_texts(source.calibration_texts, texts)
    return source


def prepare(model, keys, sentences):
    """Writes the contenders' files; returns {key: path}, without the peers that are missing."""
    source = make_source(model, WORK / f"{model.name}_files", sentences)
    laconic("export", model, "-o", source.float_onnx, "--format", "float", "--opset", 17, "--force")
    tokenizer = w.read_tokenizer(model)
    ids = [tokenizer.encode(text).ids for text in w.read_texts(source.calibration_texts)]
    source.calibration_ids.write_text(json.dumps(ids), encoding="utf-8")
    paths = {}
    for key in keys:
        if key in peers.FROM_TENSORS and not source.has_tensors:
            print(f"skipped: {title(key)}, which needs {model}/model.safetensors")
            continue
        try:
            paths[key] = c.prepare(key, source)
        except importlib.metadata.PackageNotFoundError as error:
            print(f"skipped: {title(key)}, without the package {error.name} (tools/setup.sh peers oracle)")
    return paths


def runnable(keys, instructions, isa):
    """`keys` without ours in bf16 where CPU or level lack it, which are named."""
    if "avx512_bf16" in instructions and isa in (None, "avx512_bf16", "amx"):
        return keys
    for key in keys:
        if key in OURS and c.precision(key) == "bf16":
            print(f"skipped: {OURS[key]}, without bfloat16")
    return [key for key in keys if key not in OURS or c.precision(key) == "f32"]


def make_contenders(paths, threads, isa, is_multi_label):
    return {key: Laconic(path, threads, isa, precision=c.precision(key)) if key in OURS
            else Peer(key, path, threads, isa, is_multi_label) for key, path in paths.items()}


def take_turns(contenders, workload, rounds, seconds):
    """{key: median milliseconds of each round}; each turn lasts about `seconds`, or one run."""
    medians = {key: [] for key in contenders}
    for _ in range(rounds):
        for key, contender in contenders.items():
            last = medians[key][-1] if medians[key] else contender.time(workload, 0, 1)
            runs = int(np.clip(seconds * 1e3 / last, 1, 1000))
            medians[key].append(contender.time(workload, min(3, runs), runs))
            time.sleep(peers.PEERS[key].pause_s if key in peers.PEERS else peers.PAUSE_S)
    return medians


def summarize(medians):
    """Of the rounds' medians: their median, and how far they spread."""
    p10, median, p90 = np.percentile(medians, [10, 50, 90])
    return {"median_ms": round(median, 3), "p10_ms": round(p10, 3), "p90_ms": round(p90, 3)}


def add_ratios(row, work, peaks, isa, threads):
    """To each of ours: the fastest peer's time over its own, and its shares of the peak and of the bounds. FP32 is
    compared with FP32, bf16 with what is not quantized, INT8 with every peer."""
    rivals_of = {"f32": peers.FP32, "bf16": peers.FLOAT, "int8": peers.PEERS}
    for key in row.keys() & OURS.keys():
        cell, kind = row[key], c.kind(key)
        rivals = [k for k in row if k in rivals_of[kind]]
        if rivals:
            cell["fastest_peer"] = min(rivals, key=lambda k: row[k]["median_ms"])
            cell["ratio"] = round(row[cell["fastest_peer"]]["median_ms"] / cell["median_ms"], 3)
        for name, amount in work.items():
            bound, gemm = w.bound_ms(amount, peaks, isa, threads, kind, c.attention_kind(key))
            cell[f"share_of_{name}"] = round(bound / cell["median_ms"], 3)
            if name == "bound":
                cell["share_of_peak"] = round(gemm / cell["median_ms"], 3)


def check_answers(contenders, workload):
    """{key: largest difference of a probability from the first contender's}: far off, one computes something else."""
    answers = {key: contender.probabilities(workload) for key, contender in contenders.items()}
    first = next(iter(answers.values()))
    return {key: round(float(np.abs(p - first).max()), 4) for key, p in answers.items()}


def measure_start(contenders, workloads, rounds):
    """{key: cold start and peak memory}, processes started in turns; the page cache is warm."""
    short, long = workloads["1x16"], workloads["1x128"]
    times = {key: [] for key in contenders}
    for _ in range(rounds + 1):
        for key, contender in contenders.items():
            times[key].append(contender.cold_start_ms(short))
            contender.close()
    result = {}
    for key, contender in contenders.items():
        result[key] = {"first_answer_ms": round(float(np.median(times[key][1:])), 1),
                       "peak_mb": round(contender.peak_bytes(long) / 1e6, 1)}
        contender.close()
    return result


def measure_texts(paths, model, data, threads, rounds, isa):
    """{key: texts per second, share of tokenizing}: ours is `laconic predict` from start to exit, loading included;
    peers are Hugging Face tokenizers and batches of like length in worker.py, loading left out."""
    num_texts = len(w.read_texts(data))
    seconds, shares = {key: [] for key in paths}, {}
    for _ in range(rounds):
        for key, path in paths.items():
            start = time.perf_counter()
            if key in OURS:
                precision = ("--precision", c.precision(key))
                laconic("predict", path, "--data", data, "--threads", threads, *precision, isa=isa)
                seconds[key].append(time.perf_counter() - start)
                report = json.loads(laconic("bench", path, "--data", data, "--batch", 32, "--threads", threads,
                                            "--tokenizing", "--json", "-", *precision, isa=isa))
                shares[key] = report["tokenizing_share"]
            else:
                took = ask_worker("texts", key, path, threads, model, data, isa=isa, threads=threads)
                seconds[key].append(took["seconds"])
                shares[key] = took["tokenizing_seconds"] / took["seconds"]
    return {key: {"texts_per_s": round(num_texts / float(np.median(s)), 1), "tokenizing_share": round(shares[key], 4)}
            for key, s in seconds.items()}


def measure_peaks(models, thread_counts):
    """What this CPU can do at most, and how fast it reads as many bytes as the models' linear layers have."""
    sizes = set()
    for model in models:
        weights = w.count_work(read_config(model), [1]).weights
        sizes |= {str(round(weights / 1e6)), str(round(4 * weights / 1e6))}
    binary = ROOT / "build/release/benchmarks/kernels/peaks"
    return json.loads(subprocess.run([binary, "--threads", ",".join(map(str, thread_counts)), "--mb", ",".join(sizes)],
                                     check=True, stdout=subprocess.PIPE, text=True).stdout)


def add_peaks(peaks, more):
    """The larger of each figure: what another run has reached, the CPU can do."""
    for kind, rows in more.items():
        for name, row in rows.items():
            for threads, value in row.items():
                mine = peaks[kind].setdefault(name, {})
                mine[threads] = max(mine.get(threads, 0), value)


def read_config(model):
    return json.loads((model / "config.json").read_text(encoding="utf-8"))


def show(section):
    """Prints a section: medians with the spread of the rounds (p10, p90), and what ours are compared with."""
    print(f"\n{section['model']}, {section['threads']} thread(s), {section['isa']}; ms")
    for name, row in section.get("latency", {}).items():
        print(f"  {name}")
        for key, cell in row.items():
            line = f"    {title(key):28}{cell['median_ms']:10.2f} [{cell['p10_ms']:.2f}, {cell['p90_ms']:.2f}]"
            line += f" {cell['way']}" if cell["way"] != "whole" else ""
            if "ratio" in cell:
                line += f"  {cell['ratio']:.2f} x {title(cell['fastest_peer'])}"
            if "share_of_peak" in cell:
                line += (f"; {cell['share_of_peak']:.0%} of the peak, {cell['share_of_bound']:.0%} of the bound"
                         f" ({cell['share_of_bound_all_rows']:.0%} with all rows)")
            print(line)
    for key, cell in section.get("start", {}).items():
        print(f"    {title(key):28}first answer {cell['first_answer_ms']:8.1f} ms, peak {cell['peak_mb']:7.1f} MB")
    for key, cell in section.get("texts", {}).items():
        print(f"    {title(key):28}{cell['texts_per_s']:8.1f} texts/s, tokenizing {cell['tokenizing_share']:.1%}")


def machine():
    first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n", maxsplit=1)[0]
    cpu = dict(re.findall(r"^(.*?)\s*: ?(.*)$", first, re.MULTILINE))
    flags = cpu["flags"].split()
    return {"cpu": cpu["model name"], **{name: int(cpu[key]) for name, key in CPU_NUMBERS.items()},
            "cores": len(os.sched_getaffinity(0)), "system": platform.platform(),
            "instructions": [f for f in ("avx2", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16") if f in flags],
            "flags": sorted(f for f in flags if f.startswith(("avx", "amx", "fma", "f16c", "hypervisor")))}


def compilers():
    """Those that the executable's .comment section names; of a build by clang, GCC's start files too."""
    found = re.findall(rb"GCC: \([^)]*\) [\d.]+|clang version [\d.]+", c.LACONIC.read_bytes())
    return sorted({name.decode() for name in found})


def command():
    """What was called, without the folders of this machine."""
    return shlex.join(["bench.py", *(re.sub(r"(^|=)/\S*/(?=\S)", r"\1", argument) for argument in sys.argv[1:])])


def commit():
    """The revision that runs, with + where files differ from it; results and their page do not count."""
    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=ROOT, check=False, capture_output=True, text=True)

    is_changed = git("diff", "--quiet", "HEAD", "--", ":!benchmarks/results", ":!docs").returncode != 0
    return git("rev-parse", "--short=10", "HEAD").stdout.strip() + ("+" if is_changed else "")


def existing(path, option):
    """`path`. Exits naming the option where it is missing, as ../shared is for everybody but us."""
    if not path.exists():
        sys.exit(f"{path} is missing; name another with {option} (the models and texts in ../shared, which are measured by "
                 "default, are not part of this repository: docs/benchmarks.md says what to run without them)")
    return path


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", type=Path, help="directories (default: ../shared/models/minilm_sst2, and "
                        "BERT-base with random weights; 'bert_base' is that)")
    parser.add_argument("--texts", type=Path, default=SHARED / "data/sst2/test.jsonl", help="JSONL, JSON, CSV or TSV; what is measured")
    parser.add_argument("--calibration", type=Path, default=SHARED / "data/sst2/train.jsonl",
                        help="JSONL, JSON, CSV or TSV")
    parser.add_argument("--contenders", nargs="+", choices=[*OURS, *peers.PEERS], default=[*OURS, *peers.PEERS], metavar="KEY",
                        help=f"of {', '.join([*OURS, *peers.PEERS])} (default: all)")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS, help="none: only prepare the models")
    parser.add_argument("--workloads", nargs="+", choices=w.LENGTHS, default=list(w.LENGTHS), metavar="NAME",
                        help=f"of {', '.join(w.LENGTHS)}")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one turn")
    parser.add_argument("--isa", help="level to force; the peers' is lowered to it as far as they can be (docs/benchmarks.md)")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks/results/latest.json")
    parser.add_argument("--note", default="", help="what a reader should know of this run; kept with the result")
    parser.add_argument("--append", action="store_true", help="keep the sections of --json that are not measured now")
    return parser.parse_args()


def measure(model, paths, threads, args, peaks):
    """One section of the result: a model at a number of threads."""
    sentences = w.read_texts(args.texts)
    names = dict.fromkeys([*args.workloads, *(["1x16", "1x128"] if "start" in args.parts else [])])
    workloads = {x.name: x for x in w.make_workloads(model, sentences, WORK / f"{model.name}_files", names)}
    contenders = make_contenders(paths, threads, args.isa, w.is_multi_label(model))
    probe = next(iter(workloads.values()))
    isa = next((x.level(probe) for x in contenders.values() if isinstance(x, Laconic)), args.isa)
    section = {"model": model.name, "threads": threads, "isa": isa, "forced": args.isa is not None,
               "contenders": list(paths), "rounds": args.rounds, "seconds": args.seconds}
    if "latency" in args.parts:
        section["latency"] = {}
        section["difference"] = check_answers(contenders, workloads[args.workloads[-1]])
        for name in args.workloads:
            medians = take_turns(contenders, workloads[name], args.rounds, args.seconds)
            row = {key: summarize(m) | {"way": contenders[key].way(workloads[name])} for key, m in medians.items()}
            work = {"bound": w.count_work(read_config(model), workloads[name].lengths),
                    "bound_all_rows": w.count_work(read_config(model), workloads[name].lengths, rows_read=False)}
            if isa:
                add_ratios(row, work, peaks, isa, threads)
            section["latency"][name] = row
    for contender in contenders.values():
        contender.close()
    if "start" in args.parts:
        section["start"] = measure_start(contenders, workloads, args.rounds)
    if "texts" in args.parts and model.name != "bert_base":
        section["texts"] = measure_texts(paths, model, args.texts, threads, min(3, args.rounds), args.isa)
    return section


def identity(section):
    """Sections of the same identity are parts of one."""
    return section["model"], section["threads"], section["isa"], tuple(section["contenders"])


def merge(sections, new):
    """`sections` with what `new` has measured put into the one of its identity, or added."""
    kept = [s for s in sections if identity(s) == identity(new)]
    return [s for s in sections if identity(s) != identity(new)] + [kept[0] | new if kept else new]


def main():
    args = parse_arguments()
    existing(args.texts, "--texts")
    existing(args.calibration, "--calibration")
    models = chosen_models(args.models)
    result = {"schema_version": 2, "machine": machine(), "note": args.note, "commit": commit(), "laconic": laconic("--version").strip(),
              "compilers": compilers(), "commands": [command()], "versions": {}, "peaks": measure_peaks(models, args.threads),
              "measured": []}
    if args.append and args.json.exists():
        old = json.loads(args.json.read_text(encoding="utf-8"))
        if old["machine"] != result["machine"] or old["commit"] != result["commit"]:
            sys.exit(f"{args.json} is of another machine or commit")
        result["measured"], result["versions"] = old["measured"], old["versions"]
        result["commands"] = old.get("commands", []) + result["commands"]
        add_peaks(result["peaks"], old["peaks"])
    print(json.dumps({key: result[key] for key in ("machine", "commit", "peaks")}, indent=1))
    for model in models:
        paths = prepare(model, runnable(args.contenders, result["machine"]["instructions"], args.isa), w.read_texts(args.calibration))
        c.lower(args.isa, paths.keys())
        for key in paths.keys() - OURS.keys():
            result["versions"] |= peers.versions(key)
        for threads in args.threads if args.parts else []:
            section = measure(model, paths, threads, args, result["peaks"])
            show(section)
            result["measured"] = merge(result["measured"], section)
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if args.parts:
        print(f"\nwritten: {args.json}")


if __name__ == "__main__":
    main()
