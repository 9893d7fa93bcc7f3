#!/usr/bin/env python3
"""Checks the layer rule of docs/architecture.md from the includes of every C++ file.

A component is a folder under src/; it may include itself and the layers before its own. Beyond that: a public header
belongs to the component that has its .cpp (to base without one), and includes neither internal headers nor third-party
ones; src/kernels sees plain pointers, so of the others it includes base only; protobuf stays inside formats/onnx.
Tests and benchmarks may also include components of their own layer. Prints each violation as FILE:LINE and exits with
1 if there is one.
"""
import argparse
import os
import re
import sys
from pathlib import Path

LAYERS = (
    ("base",),
    ("tensor",),
    ("graph", "quant", "kernels", "text", "data", "metrics"),
    ("interpreter", "formats/safetensors", "formats/pickle", "formats/onnx"),
    ("models", "passes"),
    ("formats/hf",),
    ("runtime",),
    ("workflows",),
    ("train", "report"),
    ("cli",),
)
LEVEL = {component: level for level, layer in enumerate(LAYERS) for component in layer}
# Third-party headers with one home: pattern of the include, component.
CONFINED = ((re.compile(r"google/protobuf/|.*\.pb\.h$"), "formats/onnx"),
            (re.compile(r"(torch|ATen|c10)/"), "train"))
INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')
STANDARD_HEADER = re.compile(r"[a-z0-9_]+$")
TEST_SUFFIXES = ("_test.cpp", "_bench.cpp", "_fuzz.cpp")


def component_of(path):
    """The component that holds a path relative to the root, or None: 'src/formats/onnx/a.h' -> 'formats/onnx'."""
    if path.parts[0] == "cli":
        return "cli"
    if path.parts[0] != "src":
        return None
    inside = Path(*path.parts[1:]).as_posix()
    return next((c for c in LEVEL if inside.startswith(c + "/")), None)


class Checker:
    def __init__(self, root):
        self.root = root
        self.violations = []
        # Of several namesakes the lowest counts: cli/quantize.cpp is a command, not the home of laconic/quantize.h.
        self.home = {}
        for source in root.glob("src/**/*.cpp"):
            component = component_of(source.relative_to(root))
            if component and LEVEL[component] < LEVEL[self.home.get(source.stem, "cli")]:
                self.home[source.stem] = component

    def owner(self, path):
        """The component that a file counts for; None for tests/, fuzz/, benchmarks/, which may include anything."""
        if path.parts[0] == "include":
            return self.home.get(path.stem, "base")
        return component_of(path)

    def resolve(self, source, name):
        """The path, relative to the root, that `#include "name"` in `source` means, or None."""
        for folder in ("src", "include", "", source.parent):
            path = Path(os.path.normpath(Path(folder, name)))
            if (self.root / path).is_file():
                return path
        return None

    def check(self, path):
        owner = self.owner(path)
        public = path.parts[0] == "include"
        if path.parts[0] == "src" and owner is None:
            self.report(path, 1, "a folder that LAYERS does not list")
            return
        is_test = path.name.endswith(TEST_SUFFIXES)
        for number, line in enumerate((self.root / path).read_text(encoding="utf-8").splitlines(), 1):
            include = INCLUDE.match(line)
            if include:
                problem = self.problem(path, owner, public, is_test, *include.groups())
                if problem:
                    self.report(path, number, f"{include.group(2)}: {problem}")

    def problem(self, path, owner, public, is_test, quote, name):
        """What is wrong with one include, or None."""
        for pattern, home in CONFINED:
            if pattern.match(name):
                return None if owner == home else f"stays inside {home}"
        if quote == "<":
            return "no third-party include in a public header" if public and not STANDARD_HEADER.match(name) else None
        target = self.resolve(path, name)
        if target is None:
            return "names no file of the project; third-party headers are included with <>"
        if public and target.parts[0] != "include":
            return "no internal header in a public one"
        used = self.owner(target)
        if owner in (None, used):
            return None
        if used is None:
            return None if is_test else "a component includes no test code"
        if owner == "kernels" and used != "base" and not is_test:
            return f"kernels sees plain pointers and includes base only, not {used}"
        allowed = LEVEL[used] <= LEVEL[owner] if is_test else LEVEL[used] < LEVEL[owner]
        return None if allowed else f"{owner} may not include {used}"

    def report(self, path, line, what):
        self.violations.append(f"{path.as_posix()}:{line}: {what}")


def check_tree(root):
    """All violations below `root`, in order of path and line."""
    checker = Checker(root)
    files = [p for folder in ("include", "src", "cli", "tests", "fuzz", "benchmarks")
             for p in sorted((root / folder).rglob("*")) if p.suffix in (".h", ".cpp")]
    for path in files:
        checker.check(path.relative_to(root))
    return len(files), checker.violations


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).resolve().parent.parent)
    num_files, violations = check_tree(parser.parse_args().root)
    for violation in violations:
        print(violation)
    print(f"check_layers: {num_files} files, {len(violations)} violations")
    return 1 if violations or not num_files else 0


if __name__ == "__main__":
    sys.exit(main())
