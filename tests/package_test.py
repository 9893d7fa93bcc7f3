"""Tests what `cmake --install` makes, as another project finds it: package_test.py BUILD COMPILER

Installs BUILD into a folder, builds tests/package and examples against it with COMPILER, and compares the answers of
their programs and of a shared library with those of the installed command.
"""
import ctypes
import json
import math
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BUILD = COMPILER = None  # set from the command line
ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "tests/data/tiny_bert"


def run(*command):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{command}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


class Package(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def build_against(self, prefix, source):
        build = self.folder / "build" / source
        run("cmake", "-S", ROOT / source, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}",
            f"-DCMAKE_CXX_COMPILER={COMPILER}", "-DCMAKE_BUILD_TYPE=Release")
        run("cmake", "--build", build)
        return build

    def check(self, logits, answer):
        total = sum(map(math.exp, logits))
        for logit, probability in zip(logits, answer["probabilities"].values(), strict=True):
            self.assertAlmostEqual(math.exp(logit) / total, probability, delta=1e-6)  # printed in f32

    def test_it_is_found_linked_and_gives_the_answers_of_the_command(self):
        prefix, small = self.folder / "prefix", self.folder / "small"
        run("cmake", "--install", BUILD, "--prefix", prefix)
        run(prefix / "bin/laconic", "quantize", MODEL, "-o", small)
        answers = [json.loads(run(prefix / "bin/laconic", "predict", model, "--text", "what a lovely day"))
                   for model in (small, MODEL)]
        shutil.rmtree(prefix / "bin")  # which a system's package of the library alone leaves out
        build = self.build_against(prefix, "tests/package")
        self.check([float(line) for line in run(build / "package_test", MODEL).split()], answers[0])
        logits = (ctypes.c_float * 8)()
        module = ctypes.CDLL(str(build / "libpackage_module.so"))
        num_logits = module.Answer(str(MODEL).encode(), b"what a lovely day", logits, len(logits))
        self.check(logits[:num_logits], answers[1])
        self.check_serve(self.build_against(prefix, "examples") / "serve", small, answers[0])

    def check_serve(self, serve, model, answer):
        done = subprocess.run([serve, model, "2", "3"], input="what a lovely day\n" * 9, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        best = max(answer["probabilities"].values())
        lines = [line.split("\t") for line in done.stdout.splitlines()]
        self.assertEqual(sorted(int(number) for number, _, _ in lines), list(range(1, 10)))
        for _, labels, probability in lines:
            self.assertEqual(labels, ", ".join(answer["labels"]))
            self.assertAlmostEqual(float(probability), best, delta=1e-6)
        for arguments, name, least in ((("abc",), "THREADS", 1), (("1x",), "THREADS", 1), (("1", "0"), "CLIENTS", 1),
                                       (("1", "1", "-1"), "MAX_LENGTH", 0), (("1", "1", "9" * 20), "MAX_LENGTH", 0)):
            done = subprocess.run([serve, model, *arguments], input="a\n", capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"{name}: expected a number of at least {least}, got '{arguments[-1]}'\n", done.stderr)


if __name__ == "__main__":
    COMPILER = sys.argv.pop()
    BUILD = sys.argv.pop()
    unittest.main()
