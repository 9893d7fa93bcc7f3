"""Tests what `cmake --install` makes, as another project finds it: package_test.py BUILD COMPILER

Installs BUILD into a folder, builds tests/package against it with COMPILER, and compares its answer with that of the
installed command.
"""
import json
import math
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
    def test_it_is_found_linked_and_gives_the_answers_of_the_command(self):
        with tempfile.TemporaryDirectory() as folder:
            prefix, build, small = Path(folder) / "prefix", Path(folder) / "build", Path(folder) / "small"
            run("cmake", "--install", BUILD, "--prefix", prefix)
            run("cmake", "-S", ROOT / "tests/package", "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}",
                f"-DCMAKE_CXX_COMPILER={COMPILER}", "-DCMAKE_BUILD_TYPE=Release")
            run("cmake", "--build", build)
            logits = [float(line) for line in run(build / "package_test", MODEL).split()]
            run(prefix / "bin/laconic", "quantize", MODEL, "-o", small)
            answer = json.loads(run(prefix / "bin/laconic", "predict", small, "--text", "what a lovely day"))
        total = sum(map(math.exp, logits))
        for logit, probability in zip(logits, answer["probabilities"].values(), strict=True):
            self.assertAlmostEqual(math.exp(logit) / total, probability, delta=1e-6)  # printed in f32


if __name__ == "__main__":
    COMPILER = sys.argv.pop()
    BUILD = sys.argv.pop()
    unittest.main()
