"""ONNX Runtime for a CPU with AVX2 at most: a copy of the installed package that finds no more than that.

ONNX Runtime cannot be told which instructions to use: the constructor of MLAS_PLATFORM (MLAS is its library of kernels)
asks the CPU. In the copy four of its tests fail on every CPU, so that the kernels set before them stay, those of AVX2.
Where the machine code is not what is expected, as in a version to come, nothing is written.
"""
import importlib.util
import os
import re
import shutil
import sys
from pathlib import Path

# The test for AVX-512 BW, DQ and VL, whose mask is nowhere else: an `and` of a register.
_ANCHOR = rb"\x81[\xe0-\xe7]\x00\x00\x02\xc0"
_BEFORE, _AFTER = 0x800, 0x200  # bytes around it in which the other tests lie

# {what is tested: (its machine code, the byte to change, what becomes of that byte)}. A `test` with nothing is zero, and
# `je` leaves; the bits that AMX lacks are found by `and`, and `jne` leaves, as it does after any `or` (opcode /4 -> /1).
_TESTS = {
    "AVX-VNNI": (rb"\x0f\xa2\xa8\x10\x74", 3, lambda _: 0),                        # cpuid; test al, 0x10; je
    "AVX-512 F": (rb"\xf7[\xc0-\xc7]\x00\x00\x01\x00\x74", 4, lambda _: 0),         # test r, 0x10000; je
    "AVX-VNNI-INT8": (rb"\xf6[\xc0-\xc3]\x10\x74", 2, lambda _: 0),                # test r, 0x10; je
    "AMX": (rb"\x81[\xe0-\xe7]\x00\x00\x00\x03\x0f\x85", 1, lambda b: b - 0xe0 + 0xc8),  # and r, 0x3000000; jne
}


def _only(pattern, code, begin, end, what):
    """Where `pattern` is. Errors: ValueError if it is not there exactly once."""
    found = [m.start() for m in re.compile(pattern, re.DOTALL).finditer(code, max(0, begin), end)]
    if len(found) != 1:
        raise ValueError(f"expected one test for {what} in ONNX Runtime's machine code, got {len(found)}")
    return found[0]


def lower(code):
    """`code`, a shared library of ONNX Runtime, with the tests changed. Errors: ValueError naming the one not found."""
    code = bytearray(code)
    anchor = _only(_ANCHOR, code, 0, len(code), "AVX-512 BW, DQ and VL")
    for what, (pattern, offset, changed) in _TESTS.items():
        at = _only(pattern, code, anchor - _BEFORE, anchor + _AFTER, what) + offset
        code[at] = changed(code[at])
    return bytes(code)


def write(folder):
    """Writes folder/onnxruntime, which PYTHONPATH=folder puts before the installed one: links, and a library of its own.
    Errors: ValueError, as above; ModuleNotFoundError without ONNX Runtime."""
    spec = importlib.util.find_spec("onnxruntime")
    if spec is None:
        raise ModuleNotFoundError("no module named onnxruntime", name="onnxruntime")
    source, target = Path(spec.origin).parent, Path(folder) / "onnxruntime"
    (library,) = (source / "capi").glob("onnxruntime_pybind11_state*.so")
    lowered = lower(library.read_bytes())
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, copy_function=os.symlink, ignore=shutil.ignore_patterns("__pycache__", library.name))
    (target / "capi" / library.name).write_bytes(lowered)


if __name__ == "__main__":
    write(sys.argv[1])
