"""Tests the figures of `laconic diff` against ONNX Runtime's tensors and NumPy: diff_test.py LACONIC

A tiny model in f32 and in dynamic INT8, both exported; their inner tensors come from ONNX Runtime, text by text. Exits
with 77 (skipped) where ONNX Runtime is not installed.
"""
import json
import sys
import tempfile
import unittest
from pathlib import Path

import support
from support import ROOT, TINY_BERT, laconic

sys.path.insert(0, str(ROOT / "tools/onnx"))
with support.skip_without_packages():
    import numpy as np
    import onnx
    import onnxruntime
    from exact_session import exact_session


def inner_tensors(path, names, texts):
    """For each name, the rows of every text: lists of [tokens, width] or [1, width]."""
    model = onnx.load(path)
    outputs = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in outputs)
    # As written: an optimizer that folds and fuses need not keep the tensors.
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = exact_session(model, options)
    rows = {name: [] for name in names}
    for ids in texts:
        inputs = {"input_ids": np.array([ids], np.int64), "attention_mask": np.ones((1, len(ids)), np.int64)}
        for name, value in zip(names, session.run(names, inputs)):
            rows[name].append(value.reshape(-1, value.shape[-1]))
    return rows


class Diff(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder_object = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder_object.cleanup)
        cls.folder = Path(cls.folder_object.name)
        cls.model = TINY_BERT
        rows = support.examples("tiny_bert")[:40]
        cls.texts = [row["input_ids"] for row in rows]
        cls.data = support.write_texts(cls.folder / "texts.jsonl", rows)
        laconic("quantize", cls.model, "-o", cls.folder / "int8")
        for model, name in ((cls.model, "f32"), (cls.folder / "int8", "int8")):
            laconic("export", model, "-o", cls.folder / f"{name}.onnx")

    def diff(self, a, b, *flags, status=0):
        path = self.folder / "diff.json"
        shown = laconic("diff", a, b, "--data", self.data, "--json", path, *flags, status=status)
        return json.loads(path.read_text()), shown

    def test_figures_are_those_of_onnx_runtime(self):
        """Two programs differ in the last bits of floats, which moves a tie (about 1 value in 8,000) by one code."""
        report, shown = self.diff(self.model, self.folder / "int8", "--threshold", 0.01, "--batch", 7)
        self.assertEqual((report["texts"], report["tokens"]), (40, sum(map(len, self.texts))))
        names = [tensor["name"] for tensor in report["tensors"]]
        expected = {"bert.embeddings.sum", "bert.encoder.layer.1.output.dense", "bert.pooler", "logits"}
        self.assertLessEqual(expected, set(names))
        a = inner_tensors(self.folder / "f32.onnx", names, self.texts)
        b = inner_tensors(self.folder / "int8.onnx", names, self.texts)
        relative = {}
        for tensor in report["tensors"]:
            name = tensor["name"]
            x, y = (np.concatenate(values[name]).astype(np.float64) for values in (a, b))
            if name in ("bert.embeddings.position_embeddings", "bert.embeddings.token_type_embeddings"):
                continue  # in ONNX one row, or one a position, for all texts
            d = y - x
            self.assertEqual((tensor["rows"], tensor["width"]), x.shape, name)
            relative[name] = np.sqrt((d ** 2).sum() / (x ** 2).sum())
            self.assertAlmostEqual(tensor["relative"], relative[name], delta=2e-3 * relative[name] + 1e-9, msg=name)
            self.assertAlmostEqual(tensor["mean_abs"], abs(d).mean(), delta=2e-3 * abs(d).mean() + 1e-9, msg=name)
            self.assertAlmostEqual(tensor["max_abs"], abs(d).max(), delta=2e-2 * abs(d).max() + 1e-9, msg=name)
            if relative[name] > 0:
                self.assertAlmostEqual(tensor["signal_to_noise_db"], -20 * np.log10(relative[name]), delta=0.02, msg=name)
                place = tensor["worst"]
                row = b[name][place["text"] - 1][place.get("token", 0)]
                self.assertAlmostEqual(place["b"], row[place["column"]], delta=2e-2 * tensor["max_abs"] + 1e-4, msg=name)
            errors = [np.sqrt(((q - p) ** 2).sum(1) / (p.astype(np.float64) ** 2).sum(1)) for p, q in zip(a[name], b[name])]
            first = next(((text + 1, int(np.argmax(error > 0.01))) for text, error in enumerate(errors)
                          if (error > 0.01).any()), None)
            got = tensor["first"] and (tensor["first"]["text"], tensor["first"].get("token", 0))
            self.assertEqual(got, first, name)
        self.assertEqual(report["worst"], max(relative, key=relative.get))
        self.assertEqual(report["first"], next(name for name in names if relative.get(name, 0) > 0.01))
        self.assertIn(f"First to diverge (relative error over 0.01): {report['first']}", shown)

    def test_ties_are_those_of_numpy(self):
        report, _ = self.diff(self.model, self.folder / "int8")
        sources = {"bert.encoder.layer.0.attention.self.query": "bert.embeddings.LayerNorm",
                   "bert.encoder.layer.1.output.dense": "bert.encoder.layer.1.intermediate.dense.activation"}
        b = inner_tensors(self.folder / "int8.onnx", list(sources.values()), self.texts)
        for codes in report["codes"]:
            self.assertIsNone(codes["ties_a"])
            if codes["layer"] not in sources:
                continue
            x = np.concatenate(b[sources[codes["layer"]]])
            self.assertEqual(codes["codes"], x.size)
            zero = np.float32(0)
            span = np.maximum(x.max(1, keepdims=True), zero) - np.minimum(x.min(1, keepdims=True), zero)
            exact = x * (np.float32(1) / np.maximum(span / np.float32(255), np.float32(1e-12)))
            distance = abs(exact - np.floor(exact) - np.float32(0.5))
            # The last bits of floats move a value by up to 2^-16 of a code's width.
            self.assertGreaterEqual(codes["ties_b"], np.count_nonzero(distance < 2 ** -14 - 2 ** -16))
            self.assertLessEqual(codes["ties_b"], np.count_nonzero(distance < 2 ** -14 + 2 ** -16))
            self.assertGreater(codes["ties_b"], 0)

    def test_exported_file_is_the_artifact(self):
        for a, b in ((self.folder / "int8.onnx", self.folder / "int8"), (self.folder / "int8", self.folder / "int8.onnx")):
            report, shown = self.diff(a, b, "--limit", 3, "--fail-over", 0)
            self.assertEqual((report["texts"], report["first"], report["worst"]), (3, None, None))
            self.assertIn("All tensors are equal", shown)
            self.assertEqual({codes["one_apart"] for codes in report["codes"]}, {0})

    def test_exit_status(self):
        report, _ = self.diff(self.model, self.folder / "int8")
        worst = max(tensor["relative"] for tensor in report["tensors"])
        self.diff(self.model, self.folder / "int8", "--fail-over", worst * 1.01)
        self.diff(self.model, self.folder / "int8", "--fail-over", worst * 0.99, status=8)


if __name__ == "__main__":
    support.main()
