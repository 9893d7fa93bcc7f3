#!/usr/bin/env python3
"""What a change did to speed: compare.py OLD NEW, two results of bench.py (JSON files), or two commits (or executables).

Of two files: every contender that both have of one model, number of threads and level, the old median over the new one, and
the range that the rounds' p10 and p90 allow; then what one of them alone has. Exits with 1 if they have nothing in common. Of
two commits: builds each below build/compare, and lets both take turns on this machine; the range is p10 to p90 of the
rounds' ratios.
"""
import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import bench
import workloads as w
from contenders import OURS, ROOT, Laconic, laconic, method, precision, quantize, title

FOLDER = ROOT / "build/compare"


def read_result(path):
    """A result of bench.py. Exits where `path` is none."""
    try:
        result = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"{path}: {error}")
    if not isinstance(result, dict) or "measured" not in result:
        sys.exit(f"{path} is no result of bench.py: it has no 'measured'")
    return result


def cells(result):
    """{(section, workload, contender): its times}. Of what was measured twice, the last."""
    return {(f"{section['model']}, {section['threads']} thread(s), {section['isa']}", name, key): cell
            for section in result["measured"] for name, row in section.get("latency", {}).items() for key, cell in row.items()}


def compare_results(old, new):
    """[(section, workload, contender, old ms, new ms, ratio, low, high)] of two results."""
    before, after = cells(old), cells(new)
    sections = list(dict.fromkeys(section for section, *_ in after))
    rows = [(*place, a["median_ms"], b["median_ms"], a["median_ms"] / b["median_ms"], a["p10_ms"] / b["p90_ms"],
             a["p90_ms"] / b["p10_ms"]) for place, b in after.items() if (a := before.get(place))]
    return sorted(rows, key=lambda row: sections.index(row[0]))


def without_partner(result, other):
    """What `other` lacks: sections, contenders of a section, or workloads of a contender."""
    mine, theirs = cells(result), cells(other)
    lines = []
    for section in dict.fromkeys(section for section, *_ in mine):
        if all(section != another for another, *_ in theirs):
            lines.append(section)
            continue
        for key in dict.fromkeys(key for another, _, key in mine if another == section):
            names = [name for another, name, its_key in mine if (another, its_key) == (section, key)]
            missing = [name for name in names if (section, name, key) not in theirs]
            if missing:
                lines.append(f"{section}: {title(key)}" + (f" at {', '.join(missing)}" if missing != names else ""))
    return lines


def resolve(revision):
    """The path of an executable, or a commit's name. Exits where `revision` is neither."""
    if os.access(revision, os.X_OK) and Path(revision).is_file():
        return Path(revision).resolve()
    commit = subprocess.run(["git", "rev-parse", "--verify", "--quiet", "--short=12", f"{revision}^{{commit}}"], cwd=ROOT,
                            check=False, capture_output=True, text=True).stdout.strip()
    return commit or sys.exit(f"{revision} is neither a commit, nor an executable, nor a result (.json)")


def build(target):
    """The executable of what `resolve` gives."""
    if isinstance(target, Path):
        return target
    tree = FOLDER / target
    if not tree.exists():
        subprocess.run(["git", "worktree", "prune"], cwd=ROOT, check=True)
        subprocess.run(["git", "worktree", "add", "--detach", tree, target], cwd=ROOT, check=True, capture_output=True)
    print(f"building {target}", flush=True)
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
    targets = {"old": resolve(old), "new": resolve(new)}
    is_calibrated = any(method(key) == "static" for key in args.contenders)
    sentences = w.read_texts(bench.existing(args.calibration, "--calibration")) if is_calibrated else []
    models = bench.chosen_models(args.models)
    binaries = {side: build(target) for side, target in targets.items()}
    rows = []
    for model in models:
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
    print(f"{'':55}{'old ms':>10}{'new ms':>10}{'old / new':>11}")
    last = None
    for section, workload, key, old, new, ratio, low, high in rows:
        if section != last:
            print(section)
            last = section
        print(f"  {workload:12} {title(key):40}{old:10.3f}{new:10.3f}{ratio:11.3f} [{low:.3f}, {high:.3f}]")


def show_results(old, new, args):
    """Prints what both results have, then what one alone has."""
    rows = compare_results(old, new)
    if rows:
        show(rows)
    for path, lines in ((args.old, without_partner(old, new)), (args.new, without_partner(new, old))):
        print(*(f"only in {path}: {line}" for line in lines), sep="\n", end="\n" if lines else "")
    if not rows:
        sys.exit(f"{args.old} and {args.new} have no latency of one contender in common: same model, threads, level and workload")


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
    num_results = sum(name.endswith(".json") for name in (args.old, args.new))
    if num_results == 1:
        sys.exit(f"{args.old}, {args.new}: a result (.json) is compared with a result, a commit or executable with another")
    if num_results == 2:
        show_results(read_result(args.old), read_result(args.new), args)
    else:
        args.contenders = bench.runnable(args.contenders, bench.machine()["instructions"], args.isa)
        show(compare_commits(args.old, args.new, args))


if __name__ == "__main__":
    main()
