#!/usr/bin/env python3
"""Writes the tables of docs/benchmarks.md from the results that they are of; --check only says whether they agree.

A table stands between the lines "<!-- results: FILE -->", FILE below benchmarks/results/, and "<!-- end -->". Exits with 77
(skipped) where NumPy is not installed.
"""
import argparse
import json
import re
import sys

try:
    from contenders import ROOT, title
except ImportError as missing:
    print(f"render_page: skipped: {missing}")
    sys.exit(77)

PAGE = ROOT / "docs/benchmarks.md"
BLOCK = re.compile(r"(<!-- results: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(header, rows):
    """Markdown; the first column to the left, the others to the right."""
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def milliseconds(value):
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def latency(section):
    """Medians of all contenders, the fastest in bold, and what ours are next to the fastest peer, peak and bounds."""
    workloads = section["latency"]
    fastest = {name: min(cell["median_ms"] for cell in row.values()) for name, row in workloads.items()}
    rows = []
    for key in next(iter(workloads.values())):
        cells = []
        for name, row in workloads.items():
            cell = row[key]
            text = milliseconds(cell["median_ms"])
            text = f"**{text}**" if cell["median_ms"] == fastest[name] else text
            way = f", {cell['way']}" if cell.get("way", "whole") != "whole" else ""
            cells.append(f"{text} ({milliseconds(cell['p10_ms'])}–{milliseconds(cell['p90_ms'])}{way})")
        rows.append([title(key), *cells])
    text = table(["ms", *workloads], rows)
    ours = [key for key in next(iter(workloads.values())) if "share_of_peak" in next(iter(workloads.values()))[key]]
    rows = []
    for key in ours:
        cells = [row[key] for row in workloads.values()]
        if "ratio" in cells[0]:
            rows.append([f"{title(key)}: times as fast as the fastest peer",
                         *(f"{c['ratio']:.2f} ({title(c['fastest_peer'])})" for c in cells)])
        rows.append([f"{title(key)}: share of the peak / of the bound / with all rows",
                     *(" / ".join(f"{c[name]:.0%}" for name in ("share_of_peak", "share_of_bound", "share_of_bound_all_rows"))
                       for c in cells)])
    return text + "\n" + table(["", *workloads], rows) if rows else text


def render_section(section):
    forced = ", level forced" if section["forced"] else ""
    text = f"\n### {section['model']}, {section['threads']} thread{'s' if section['threads'] > 1 else ''} ({section['isa']}{forced})\n"
    if "latency" in section:
        text += (f"\nMedian of {section['rounds']} rounds of {section['seconds']} s (p10–p90 of the rounds).\n\n"
                 + latency(section))
    if "start" in section:
        rows = [[title(key), f"{cell['first_answer_ms']:.0f}", f"{cell['peak_mb']:.0f}"]
                for key, cell in section["start"].items()]
        text += "\n" + table(["", "process start to first answer, 1x16, ms", "peak memory, 1x128, MB"], rows)
    if "texts" in section:
        rows = [[title(key), f"{cell['texts_per_s']:.0f}", f"{cell['tokenizing_share']:.1%}"]
                for key, cell in section["texts"].items()]
        text += "\n" + table(["", "texts a second, text to label", "share of tokenizing"], rows)
    return text


def peaks_table(peaks):
    rows = [[name, *(f"{value:,.0f}" for value in row.values())] for name, row in peaks["gops"].items()]
    rows += [[f"reading {megabytes} MB, GB/s", *(f"{value:.0f}" for value in row.values())]
             for megabytes, row in peaks["bandwidth_gb_s"].items()]
    threads = list(next(iter(peaks["gops"].values())))
    return table(["Gop/s", *(f"{n} thread{'s' if n != '1' else ''}" for n in threads)], rows)


def render(result):
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(result["versions"].items()))
    cpu = machine["cpu"] + "".join(f", {name} {machine[name]}" for name in ("family", "model", "stepping") if name in machine)
    compilers = "".join(f" by {name}" for name in result.get("compilers", []))
    text = (f"{machine['cores']} cores of {cpu} ({', '.join(machine['instructions'])}), {machine['system']}; "
            f"{result['laconic']} at {result['commit']}{compilers}; {versions}. {result['note']}".strip() + "\n\n"
            + "".join(f"`{command}`\n\n" for command in result.get("commands", [])) + peaks_table(result["peaks"]))
    return text + "".join(render_section(section) for section in result["measured"])


def rendered(page):
    """The page with its tables made anew."""
    def block(match):
        result = json.loads((ROOT / "benchmarks/results" / match[2]).read_text(encoding="utf-8"))
        return match[1] + render(result) + match[3]
    return BLOCK.sub(block, page)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    blocks = len(BLOCK.findall(page))
    if blocks == 0:
        sys.exit(f"{PAGE}: no block of results")
    made = rendered(page)
    if not args.check:
        PAGE.write_text(made, encoding="utf-8")
    elif made != page:
        sys.exit(f"{PAGE}: its tables differ from benchmarks/results; run benchmarks/render_page.py")
    print(f"{PAGE.name}: {blocks} block(s) of results")


if __name__ == "__main__":
    main()
