"""Tests that what `laconic certify` foretells of a CPU without VNNI is what ONNX Runtime does there: certify_ort_test.py
LACONIC

A tiny model in dynamic INT8, exported. ONNX Runtime runs it by the kernels of AVX2 (benchmarks/lower_onnxruntime.py),
whose sums saturate, and with its weights in u8, which never do; the differences between the two are what certify says.
Exits with 77 (skipped) where ONNX Runtime is not installed.
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import support
from support import ROOT, TINY_BERT, laconic

sys.path.insert(0, str(ROOT / "benchmarks"))
with support.skip_without_packages():
    import lower_onnxruntime
    import numpy as np
    import onnx  # noqa: F401: what the child needs
    import onnxruntime  # noqa: F401

# Writes the logits of texts, exact and as they come: MODEL IDS OUTPUT
BOTH_LOGITS = """
import json, sys
import numpy as np, onnxruntime
from exact_session import exact_session, saturates
assert saturates()
onnxruntime.set_default_logger_severity(3)
sessions = [exact_session(sys.argv[1]), onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])]
texts = json.load(open(sys.argv[2]))
np.save(sys.argv[3], [[session.run(["logits"], {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), int)})
                       [0][0] for ids in texts] for session in sessions])
"""


class Certify(unittest.TestCase):
    def test_saturated_answers_are_those_of_onnx_runtime(self):
        examples = support.examples("tiny_bert")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            texts, ids, small = support.write_texts(folder / "texts.jsonl", examples), folder / "ids.json", folder / "small"
            ids.write_text(json.dumps([e["input_ids"] for e in examples]))
            laconic("quantize", TINY_BERT, "-o", small)
            laconic("export", small, "-o", folder / "small.onnx", "--format", "dynamic")
            laconic("certify", small, "--data", texts, "--json", folder / "certificate.json")
            lower_onnxruntime.write(folder / "lowered")
            path = os.pathsep.join([str(folder / "lowered"), str(ROOT / "tools" / "onnx")])
            subprocess.run([sys.executable, "-c", BOTH_LOGITS, folder / "small.onnx", ids, folder / "logits.npy"],
                           check=True, env=os.environ | {"PYTHONPATH": path})
            exact, saturated = np.load(folder / "logits.npy")
            certificate = json.loads((folder / "certificate.json").read_text())
        changed = np.count_nonzero(exact.argmax(1) != saturated.argmax(1))
        difference = np.abs(saturated - exact)
        self.assertEqual(certificate["predictions_total"], len(examples))
        # A value on a border between two codes may fall to either side in two programs, which moves few texts, and
        # those by a hundredth of what saturation does.
        self.assertGreater(changed, 20)
        self.assertAlmostEqual(certificate["predictions_changed"], changed, delta=0.02 * len(examples))
        self.assertAlmostEqual(certificate["mean_abs_logit_difference"], difference.mean(), delta=0.01 * difference.mean())
        self.assertAlmostEqual(certificate["max_abs_logit_difference"], difference.max(), delta=0.05 * difference.max())


if __name__ == "__main__":
    support.main()
