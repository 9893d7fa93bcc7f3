"""Tests that ONNX Runtime's QDQ debugger works on our files: qdq_debugger_test.py LACONIC

onnxruntime.quantization.qdq_loss_debug compares a float model with its QDQ form by the tensors' names. Exits with 77
(skipped) where ONNX Runtime is not installed.
"""
import tempfile
import unittest
from pathlib import Path

import support
from support import TINY_BERT, laconic

with support.skip_without_packages():
    import numpy as np
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, qdq_loss_debug as debug

NUM_LINEARS = 2 * 6 + 2
NUM_INPUTS = 2 * 4 + 2  # Q, K and V read one value


class Inputs(CalibrationDataReader):
    def __init__(self):
        rng = np.random.default_rng(1)
        ids = [rng.integers(5, 90, (1, length)) for length in (3, 9, 17)]
        self.feeds = iter([{"input_ids": i, "attention_mask": np.ones_like(i)} for i in ids])

    def get_next(self):
        return next(self.feeds, None)


class Debugger(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        texts = self.folder / "texts.csv"
        texts.write_text("text\n" + "".join(f"a text of {word} words\n" for word in ("few", "more", "many")))
        self.texts = texts

    def files(self, *options):
        """The float model and a QDQ one."""
        laconic("quantize", TINY_BERT, "-o", self.folder / "static", "--method", "static", "--calibration", self.texts,
                *options)
        laconic("export", TINY_BERT, "-o", self.folder / "float.onnx")
        laconic("export", self.folder / "static", "-o", self.folder / "qdq.onnx", "--format", "qdq")
        return str(self.folder / "float.onnx"), str(self.folder / "qdq.onnx")

    def activations(self, path):
        augmented = path.replace(".onnx", "_augmented.onnx")
        debug.modify_model_output_intermediate_tensors(path, augmented)
        return debug.collect_activations(augmented, Inputs())

    def test_names_match(self):
        exact, quantized = self.files("--smooth-quant", "off")
        matching = debug.create_activation_matching(self.activations(quantized), self.activations(exact))
        self.assertEqual(len(matching), NUM_INPUTS)
        for name, tensors in matching.items():
            self.assertEqual(set(tensors), {"pre_qdq", "post_qdq", "float"}, name)
        for name, errors in debug.compute_activation_error(matching).items():
            self.assertGreater(errors["qdq_err"], 15, name)  # decibels; 8 bits of a range that fits give about 40
            self.assertGreater(errors["xmodel_err"], 10, name)
        weights = debug.create_weight_matching(exact, quantized)
        self.assertEqual(len(weights), NUM_LINEARS)
        for name, decibels in debug.compute_weight_error(weights).items():
            self.assertGreater(decibels, 30, name)

    def test_smoothed_values_are_left_out(self):
        exact, quantized = self.files("--smooth-quant", "0.5")
        smoothed = sum(node.op_type == "Mul" and node.output[0].endswith("_smoothed")
                       for node in onnx.load(quantized).graph.node)
        self.assertGreater(smoothed, 0)
        matching = debug.create_activation_matching(self.activations(quantized), self.activations(exact))
        self.assertEqual(len(matching), NUM_INPUTS - smoothed)
        debug.compute_activation_error(matching)  # raises KeyError on a pair without a float tensor


if __name__ == "__main__":
    support.main()
