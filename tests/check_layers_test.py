"""Tests of tools/check_layers.py: small trees with one bad include each."""
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
from check_layers import check_tree  # noqa: E402

SOUND = {
    "include/laconic/error.h": "#include <string>\n",
    "include/laconic/tokenizer.h": '#include <vector>\n#include "laconic/error.h"\n',
    "src/base/error.cpp": '#include "laconic/error.h"\n#include <fmt/format.h>\n',
    "src/tensor/tensor.h": '#include "laconic/error.h"\n',
    "src/quant/linear.h": '#include "tensor/tensor.h"\n',
    "src/text/tokenizer.cpp": '#include "laconic/tokenizer.h"\n',
    "src/kernels/gemm.h": "#include <cstdint>\n",
    "src/kernels/gemm.cpp": '#include "kernels/gemm.h"\n#include "laconic/error.h"\n',
    "src/kernels/gemm_test.cpp": '#include "kernels/gemm.h"\n#include "quant/linear.h"\n',
    "src/formats/onnx/onnx.cpp": '#include "onnx-ml.pb.h"\n#include "tensor/tensor.h"\n',
    "src/runtime/session.h": '#include "kernels/gemm.h"\n',
    "cli/main.cpp": '#include "runtime/session.h"\n#include "laconic/tokenizer.h"\n#include "cli/flags.h"\n',
    "cli/flags.h": "#include <CLI/CLI.hpp>\n",
    "cli/tokenizer.cpp": "",
    "tests/helper.h": '#include "runtime/session.h"\n',
}

# Path and line to add to the sound tree, and what the report must say.
BAD = (
    ("src/base/a.cpp", '#include "tensor/tensor.h"', "base may not include tensor"),
    ("src/base/a.h", '#  include "laconic/tokenizer.h"', "base may not include text"),
    ("src/quant/a.cpp", '#include "kernels/gemm.h"', "quant may not include kernels"),
    ("src/quant/a_test.cpp", '#include "runtime/session.h"', "quant may not include runtime"),
    ("src/kernels/a.cpp", '#include "tensor/tensor.h"', "base only, not tensor"),
    ("src/formats/hf/a.cpp", '#include "runtime/session.h"', "formats/hf may not include runtime"),
    ("src/formats/pickle/a.cpp", "#include <google/protobuf/message.h>", "stays inside formats/onnx"),
    ("src/runtime/a.cpp", '#include "onnx-ml.pb.h"', "stays inside formats/onnx"),
    ("src/runtime/a.cpp", '#include "../../cli/flags.h"', "runtime may not include cli"),
    ("src/runtime/a.cpp", '#include "helper.h"', "names no file"),
    ("src/runtime/a.cpp", '#include "../../tests/helper.h"', "includes no test code"),
    ("src/runtime/a.cpp", "#include <torch/torch.h>", "stays inside train"),
    ("src/tensor/a.cpp", '#include "fmt/format.h"', "names no file"),
    ("src/text/a.cpp", '#include "session.h"', "names no file"),
    ("src/oddments/a.cpp", "", "LAYERS does not list"),
    ("include/laconic/error.h", "#include <nlohmann/json.hpp>", "third-party"),
    ("include/laconic/tokenizer.h", '#include "tensor/tensor.h"', "no internal header"),
    ("include/laconic/inline_only.h", '#include "laconic/tokenizer.h"', "base may not include text"),
)


def violations(extra_path=None, extra_line=""):
    with tempfile.TemporaryDirectory() as folder:
        files = dict(SOUND)
        if extra_path:
            files[extra_path] = extra_line + "\n"
        for path, text in files.items():
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return check_tree(Path(folder))[1]


class CheckLayers(unittest.TestCase):
    def test_sound_tree_passes(self):
        self.assertEqual(violations(), [])

    def test_each_bad_include_is_reported(self):
        for path, line, expected in BAD:
            with self.subTest(path=path, line=line):
                found = violations(path, line)
                self.assertEqual(len(found), 1, found)
                self.assertTrue(found[0].startswith(f"{path}:1: "), found[0])
                self.assertIn(expected, found[0])


if __name__ == "__main__":
    unittest.main()
