#!/usr/bin/env python3
"""What a change did to speed: compare.py OLD NEW, two results of bench.py (JSON files), or two commits (or executables).

Of two files: every contender that both have, the old median over the new one, and the range that the rounds' p10 and p90
allow. Of two commits: builds each below build/compare, and lets both take turns on this machine; the range is p10 to p90 of
the rounds' ratios.
"""
import argparse
import json
import os
import subprocess
from pathlib import Path

import numpy as np

import bench
import workloads as w
from contenders import OURS, ROOT, Laconic, laconic, method, precision, quantize, title

FOLDER = ROOT / "build/compare"


def compare_results(old, new):
    """[(section, workload, contender, old ms, new ms, ratio, low, high)] of two results."""
    rows = []
    sections = {bench.identity(section): section for section in old["measured"]}
    for section in new["measured"]:
        before = sections.get(bench.identity(section), {}).get("latency", {})
        for name, row in section.get("latency", {}).items():
            for key, b in row.items():
                a = before.get(name, {}).get(key)
                if a:
                    rows.append((f"{section['model']}, {section['threads']} thread(s), {section['isa']}", name, key,
                                 a["median_ms"], b["median_ms"], a["median_ms"] / b["median_ms"],
                                 a["p10_ms"] / b["p90_ms"], a["p90_ms"] / b["p10_ms"]))
    return rows


def build(revision):
    """The executable of a commit, or the one that is named."""
    if os.access(revision, os.X_OK) and Path(revision).is_file():
        return Path(revision).resolve()
    commit = subprocess.run(["git", "rev-parse", "--short=12", f"{revision}^{{commit}}"], cwd=ROOT, check=True,
                            stdout=subprocess.PIPE, text=True).stdout.strip()
    tree = FOLDER / commit
    if not tree.exists():
        subprocess.run(["git", "worktree", "prune"], cwd=ROOT, check=True)
        subprocess.run(["git", "worktree", "add", "--detach", tree, commit], cwd=ROOT, check=True, capture_output=True)
    print(f"building {commit}", flush=True)
    for command in (["cmake", "--preset", "release", "--log-level=ERROR"],
                    ["cmake", "--build", "--preset", "release", "--target", "laconic_cli"]):
        subprocess.run(command, cwd=tree, check=True, stdout=subprocess.DEVNULL,
                       env=os.environ | {"CCACHE_BASEDIR": str(tree), "CCACHE_NOHASHDIR": "1"})
    return tree / "build/release/laconic"


class AnyLaconic(Laconic):
    """On random ids, with the flags that every commit has."""

    def time(self, workload, warm_ups, runs):
        lengths = w.LENGTHS[workload]
        spread = str(lengths[0]) if lengths[0] == lengths[-1] else f"{lengths[0]}-{lengths[-1]}"
        flags = [] if self.precision == "f32" else ["--precision", self.precision]  # which old commits lack
        output = laconic("bench", self.path, "--batch", len(lengths), "--length", spread, "--threads", self.threads, *flags,
                         "--iterations", runs, "--json", "-", isa=self.isa, binary=self.binary)
        return json.loads(output)["latency_ms"]["p50"]


def compare_commits(old, new, args):
    """The same of two commits, measured now."""
    binaries = {"old": build(old), "new": build(new)}
    is_calibrated = any(method(key) == "static" for key in args.contenders)
    sentences = w.read_texts(bench.existing(args.calibration, "--calibration")) if is_calibrated else []
    rows = []
    for model in bench.chosen_models(args.models):
        sources = {side: bench.make_source(model, FOLDER / side / model.name, sentences) for side in binaries}
        for key in args.contenders:
            paths = {side: quantize(key, sources[side], binary) for side, binary in binaries.items()}
            for threads in args.threads:
                pair = {side: AnyLaconic(paths[side], threads, args.isa, binaries[side], precision(key)) for side in binaries}
                for name in args.workloads:
                    medians = bench.take_turns(pair, name, args.rounds, args.seconds)
                    low, ratio, high = np.percentile(np.array(medians["old"]) / np.array(medians["new"]), [10, 50, 90])
                    rows.append((f"{model.name}, {threads} thread(s)", name, key, np.median(medians["old"]),
                                 np.median(medians["new"]), ratio, low, high))
    return rows


def show(rows):
    """Prints a table; above 1 the new one is faster."""
    print(f"{'':44}{'old ms':>10}{'new ms':>10}{'old / new':>11}")
    last = None
    for section, workload, key, old, new, ratio, low, high in rows:
        if section != last:
            print(section)
            last = section
        print(f"  {workload:12} {title(key):29}{old:10.3f}{new:10.3f}{ratio:11.3f} [{low:.3f}, {high:.3f}]")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--models", nargs="+", type=Path, help="of commits; directories (default: those of bench.py)")
    parser.add_argument("--calibration", type=Path, default=bench.SHARED / "data/sst2/train.jsonl",
                        help="of commits, for laconic_static; JSONL, JSON, CSV or TSV")
    parser.add_argument("--contenders", nargs="+", choices=OURS, default=["laconic_dynamic"], metavar="KEY",
                        help=f"of commits; of {', '.join(OURS)} (default: laconic_dynamic)")
    parser.add_argument("--workloads", nargs="+", choices=w.LENGTHS, default=list(w.LENGTHS), metavar="NAME")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="of one turn")
    parser.add_argument("--isa", help="level to force")
    args = parser.parse_args()
    if args.old.endswith(".json") and args.new.endswith(".json"):
        show(compare_results(*(json.loads(Path(p).read_text(encoding="utf-8")) for p in (args.old, args.new))))
    else:
        args.contenders = bench.runnable(args.contenders, bench.machine()["instructions"], args.isa)
        show(compare_commits(args.old, args.new, args))


if __name__ == "__main__":
    main()
