#!/usr/bin/env python3
"""Fails if the inner loop of a tile of products stores vector registers to the stack: spilled sums cost half of the speed.

Usage: check_spills.py OBJECT,OBJECT,... SOURCE...
Disassembles the objects of the sources (as in gemm_u8s8/avx512_vnni.cpp) and looks at each innermost loop that
multiplies, in the functions that compute tiles. Exit status 77: there is no objdump.
"""
import re
import shutil
import subprocess
import sys

TILE = re.compile(r"::(SumTile|AddPairs|MultiplyTile|MultiplyPairs)<")
PRODUCT = re.compile(r"\b(vpdpbusd|vdpbf16ps|vpmaddwd|vfn?madd\w*ps)\b")
SPILL = re.compile(r"\bv?mov[dau]\w*\s+%[xyz]mm\d+,[^,]*\(%r[sb]p")
JUMP = re.compile(r"\bj(?!mp)[a-z]+\s+([0-9a-f]+) <")


def functions(path):
    """(name, [(address, instruction)]) of each function."""
    text = subprocess.run(["objdump", "-dC", "--no-show-raw-insn", path], check=True, capture_output=True, text=True)
    for block in text.stdout.split("\n\n"):
        head = re.search(r"^[0-9a-f]+ <(.*)>:$", block, re.M)
        if head and TILE.search(head[1]):
            lines = re.findall(r"^\s+([0-9a-f]+):\s+(.*)$", block, re.M)
            yield head[1], [(int(address, 16), line) for address, line in lines]


def inner_loops(code):
    """The instructions of each loop that holds no other one: from a backward jump's target to the jump."""
    loops = []
    for address, line in code:
        jump = JUMP.search(line)
        if jump and code[0][0] <= int(jump[1], 16) <= address:
            loops.append((int(jump[1], 16), address))
    for first, last in loops:
        if not any(first <= a and b <= last and (a, b) != (first, last) for a, b in loops):
            yield [line for address, line in code if first <= address <= last]


def main():
    if not shutil.which("objdump"):
        print("no objdump")
        return 77
    objects, sources = sys.argv[1].split(","), sys.argv[2:]
    num_loops, num_spills = 0, 0
    for source in sources:
        path = next(path for path in objects if path.endswith(f"/{source}.o"))
        for name, code in functions(path):
            for loop in filter(lambda loop: any(map(PRODUCT.search, loop)), inner_loops(code)):
                num_loops += 1
                spills = [line for line in loop if SPILL.search(line)]
                num_spills += len(spills)
                for line in spills:
                    print(f"{source}: {name}: {line}")
    print(f"{num_loops} loops, {num_spills} stores to the stack")
    return num_spills > 0 or num_loops == 0


if __name__ == "__main__":
    sys.exit(main())
