"""Tests that what `laconic export` writes runs in ONNX Runtime and gives the same answers: export_test.py LACONIC

The tiny models of tests/data, all tensors random, with logits from transformers. Exits with 77 (skipped) where ONNX
Runtime is not installed.
"""
import json
import sys
import tempfile
import unittest
from pathlib import Path

import support
from support import DATA, ROOT, examples, laconic, write_texts

sys.path.insert(0, str(ROOT / "tools/onnx"))
with support.skip_without_packages():
    import numpy as np
    import onnx
    import onnxruntime
    import compare_foreign
    from exact_session import exact_session

MODELS = ("tiny_bert", "tiny_electra", "tiny_distilbert", "tiny_roberta", "tiny_xlm_roberta", "tiny_albert")
WITHOUT_TOKEN_TYPES = ("tiny_distilbert", "tiny_roberta", "tiny_xlm_roberta")
OPSETS = (14, 17)
# Every operator quantized, so that no pass recognises them (docs/onnx.md).
GENERAL = ("albert.ort_qdq_u8u8_matmuls.onnx", "bert.ort_qdq_s8s8.onnx", "bert.ort_qoperator_u8s8.onnx",
           "distilbert.ort_qdq_u8s8_channel.onnx", "electra.ort_qoperator_u8u8_channel.onnx",
           "roberta.ort_qdq_u8s8.onnx")


def run(session, example, length):
    """Logits of one text or pair, padded to `length` tokens. Pairs alone give the token types, an optional input."""
    ids, types = example["input_ids"], example.get("token_type_ids")
    padding = [0] * (length - len(ids))
    inputs = {"input_ids": ids + padding, "attention_mask": [1] * len(ids) + padding}
    if types and any(i.name == "token_type_ids" for i in session.get_overridable_initializers()):
        inputs["token_type_ids"] = types + padding
    inputs = {name: np.array([value], np.int64) for name, value in inputs.items()}
    return session.run(["logits"], inputs)[0][0]


def probabilities(model, logits):
    """Sigmoid or softmax, as the model's config.json says."""
    config = json.loads((DATA / model / "config.json").read_text(encoding="utf-8"))
    if config.get("problem_type") == "multi_label_classification":
        return 1 / (1 + np.exp(-logits))
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


class Export(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def export(self, model, kind, opset):
        """Exports, checks what every export must be, and returns a session."""
        path = self.folder / f"{model.name}_{kind}_{opset}.onnx"
        laconic("export", model, "-o", path, "--format", kind, "--opset", opset)
        onnx.checker.check_model(str(path), full_check=True)
        proto = onnx.load(path)
        self.assertEqual([(o.domain, o.version) for o in proto.opset_import], [("", opset)])
        self.assertEqual({node.domain for node in proto.graph.node}, {""})
        session = exact_session(path)
        self.assertEqual([i.name for i in session.get_inputs()], ["input_ids", "attention_mask"])
        self.assertEqual([i.name for i in session.get_overridable_initializers()],
                         [] if model.name in WITHOUT_TOKEN_TYPES else ["token_type_ids"])
        for value in session.get_inputs():
            self.assertEqual(value.shape, ["batch", "sequence"])
        self.assertEqual([o.name for o in session.get_outputs()], ["logits"])
        self.assertEqual(session.get_outputs()[0].shape[0], "batch")
        return session

    def test_float_export_gives_the_logits_of_transformers(self):
        for model in MODELS:
            for opset in OPSETS:
                with self.subTest(model=model, opset=opset):
                    session = self.export(DATA / model, "float", opset)
                    for example in examples(model, pairs=True):
                        for length in (len(example["input_ids"]), 128):  # alone, and padded
                            logits = run(session, example, length)
                            np.testing.assert_allclose(logits, example["logits"], rtol=0, atol=1e-4)

    def test_dynamic_export_gives_the_probabilities_of_the_runtime(self):
        for model in MODELS:
            rows = examples(model)
            texts, predictions = write_texts(self.folder / "texts.jsonl", rows), self.folder / f"{model}.jsonl"
            quantized = self.folder / model
            laconic("quantize", DATA / model, "-o", quantized, "--method", "dynamic")
            laconic("predict", quantized, "--data", texts, "-o", predictions)
            lines = predictions.read_text(encoding="utf-8").splitlines()
            ours = [list(json.loads(line)["probabilities"].values()) for line in lines]
            for opset in OPSETS:
                with self.subTest(model=model, opset=opset):
                    session = self.export(quantized, "dynamic", opset)
                    for length in (None, 128):  # alone, and padded, which must change nothing
                        theirs = [probabilities(model, run(session, row, length or len(row["input_ids"]))) for row in rows]
                        difference = np.abs(np.array(theirs) - ours).max(axis=1)
                        # A float that lies on a rounding boundary may become either code, in few texts; in more of
                        # them where three times as many layers round.
                        most = 80 if model == "tiny_albert" else 95
                        self.assertLess(np.percentile(difference, most), 1e-5)
                        # Which texts these are depends on the CPU: ONNX Runtime adds floats in another order on each.
                        self.assertLess(difference.max(), 0.2)

    def test_int8_attention_gives_the_probabilities_of_the_runtime(self):
        """Alone, and in one padded batch, where neither padding nor neighbours may change an answer."""
        for model, method in (("tiny_bert", "dynamic"), ("tiny_bert", "static"), ("tiny_distilbert", "dynamic")):
            rows = examples(model)
            texts, quantized = write_texts(self.folder / "texts.jsonl", rows), self.folder / model
            laconic("quantize", DATA / model, "-o", quantized, "--force", "--method", method, "--int8-attention", "on",
                    "--calibration", texts)
            lines = laconic("predict", quantized, "--data", texts).splitlines()
            ours = [list(json.loads(line)["probabilities"].values()) for line in lines]
            for opset in OPSETS:
                with self.subTest(model=model, method=method, opset=opset):
                    session = self.export(quantized, "dynamic" if method == "dynamic" else "qdq", opset)
                    texts_ids = [row["input_ids"] for row in rows]
                    longest = max(map(len, texts_ids))
                    padding = [[0] * (longest - len(ids)) for ids in texts_ids]
                    batch = {"input_ids": [ids + zeros for ids, zeros in zip(texts_ids, padding)],
                             "attention_mask": [[1] * len(ids) + zeros for ids, zeros in zip(texts_ids, padding)]}
                    together = session.run(["logits"], {name: np.array(values, np.int64) for name, values in batch.items()})[0]
                    alone = [run(session, row, len(row["input_ids"])) for row in rows]
                    for logits in (alone, together):
                        theirs = [probabilities(model, of_text) for of_text in logits]
                        difference = np.abs(np.array(theirs) - ours).max(axis=1)
                        # As above: a float on a rounding boundary, in few texts.
                        self.assertLess(np.percentile(difference, 80), 1e-5)
                        self.assertLess(difference.max(), 0.1)
                    # Static scales leave float layers of another shape to it, and they sum in another order.
                    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-4 if method == "static" else 0)

    def test_choices_of_a_qconfig_give_the_probabilities_of_the_runtime(self):
        """Static, as presets and flags choose: u8 weights, one scale for a weight, 7-bit codes of activations (Clip)."""
        rows = examples("tiny_bert")
        texts, quantized = write_texts(self.folder / "texts.jsonl", rows), self.folder / "tiny_bert"
        for flags in (["--qconfig", "onnxruntime"], ["--qconfig", "fbgemm"], ["--qconfig", "qnnpack"],
                      ["--weight-dtype", "quint8"], ["--activation-dtype", "qint8"],
                      ["--weight-dtype", "quint8", "--weight-granularity", "tensor"]):
            laconic("quantize", DATA / "tiny_bert", "-o", quantized, "--force", "--method", "static", "--calibration",
                    texts, *flags)
            lines = laconic("predict", quantized, "--data", texts).splitlines()
            ours = [list(json.loads(line)["probabilities"].values()) for line in lines]
            for kind in ("qdq", "qoperator"):
                for opset in OPSETS:
                    with self.subTest(flags=flags, kind=kind, opset=opset):
                        session = self.export(quantized, kind, opset)
                        (self.folder / f"tiny_bert_{kind}_{opset}.onnx").unlink()
                        theirs = [probabilities("tiny_bert", run(session, row, len(row["input_ids"]))) for row in rows]
                        difference = np.abs(np.array(theirs) - ours).max(axis=1)
                        # As above: a float on a rounding boundary, in few texts.
                        self.assertLess(np.percentile(difference, 80), 1e-5)
                        self.assertLess(difference.max(), 0.1)

    def test_export_of_a_general_graph_gives_the_files_own_logits(self):
        """What no pass recognises, at every opset: the same operators in ONNX Runtime as in the file it came from, so
        that where every tensor is rounded to codes the logits are the same bits."""
        for file in GENERAL:
            texts = compare_foreign.texts_of(file.split(".")[0], 12)
            off = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            expected = compare_foreign.onnxruntime_logits(DATA / "onnx" / file, texts, off)
            for opset in range(14, 24):
                with self.subTest(file=file, opset=opset):
                    path, again = self.folder / f"{file}_{opset}.onnx", self.folder / f"{file}_{opset}_again.onnx"
                    laconic("export", DATA / "onnx" / file, "-o", path, "--opset", opset)
                    laconic("export", path, "-o", again, "--opset", opset)  # what we write we read
                    for exported in (path, again):
                        logits = compare_foreign.onnxruntime_logits(exported, texts, off)
                        np.testing.assert_array_equal(logits, expected)


if __name__ == "__main__":
    onnxruntime.set_default_logger_severity(3)  # it warns of every optional input
    support.main()
