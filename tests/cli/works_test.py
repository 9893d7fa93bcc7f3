"""Tests what the commands promise of inputs that are sound, odd ones too: works_test.py LACONIC"""
import json
import math
import os
import pickle
import struct
import sys
import types
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import support  # noqa: E402
from support import (MALFORMED, TINY_BERT, USAGE, CliTest, edit_json, examples, read_tensors, size, write_jsonl,  # noqa: E402
                     write_tensors, write_texts)

LABELS = ["negative", "neutral", "positive"]
BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json")  # what is read of tiny BERT but its weights


def parse_lines(text):
    return [json.loads(line) for line in text.splitlines()]


def softmax(logits):
    powers = [math.exp(x - max(logits)) for x in logits]
    return [power / sum(powers) for power in powers]


class Predict(CliTest):
    def test_probabilities_are_those_of_transformers(self):
        for name in ("tiny_bert", "tiny_distilbert"):  # single- and multi-label
            rows = examples(name)[:50]
            data = write_texts(self.folder / "texts.jsonl", rows)
            lines = parse_lines(self.ok("predict", support.DATA / name, "--data", data))
            self.assertEqual(len(lines), len(rows))
            for line, row in zip(lines, rows):
                expected = softmax(row["logits"]) if name == "tiny_bert" else [1 / (1 + math.exp(-x)) for x in row["logits"]]
                for got, wanted in zip(line["probabilities"].values(), expected, strict=True):
                    self.assertAlmostEqual(got, wanted, delta=1e-5)
                names = list(line["probabilities"])
                self.assertEqual(line["labels"], [max(names, key=line["probabilities"].get)] if name == "tiny_bert" else
                                 [n for n in names if line["probabilities"][n] > 0.5])

    def test_output_does_not_depend_on_batch_or_threads(self):
        data = self.texts(100)
        self.ok("quantize", TINY_BERT, "-o", self.folder / "int8")
        outputs = []
        for model in (TINY_BERT, self.folder / "int8"):
            runs = {self.ok("predict", model, "--data", data, "--batch", batch, "--threads", threads)
                    for batch in (1, 7, 32) for threads in (1, 2)}
            self.assertEqual(len(runs), 1)
            outputs += runs
        self.assertNotEqual(*outputs)

    def test_ways_in_and_out(self):
        data = self.texts()
        rows = [json.loads(line) for line in data.read_text().splitlines()]
        expected = self.ok("predict", TINY_BERT, "--data", data)
        self.assertEqual(self.ok("predict", TINY_BERT, "--data", data, "-o", "-"), expected)
        self.assertEqual(self.ok("predict", TINY_BERT, "--data", data, "-o", self.folder / "out"), "")
        self.assertEqual((self.folder / "out").read_text(), expected)
        self.assertEqual(self.ok("predict", TINY_BERT, "--data", "-", "--data-format", "json", input=data.read_bytes()), expected)
        self.assertEqual(self.ok("predict", TINY_BERT, *(word for row in rows for word in ("--text", row["text"]))), expected)
        first = write_jsonl(self.folder / "first.jsonl", rows[:7])
        rest = self.folder / "rest.csv"
        rest.write_text("text\n" + "".join('"' + row["text"].replace('"', '""') + '"\n' for row in rows[7:]))
        self.assertEqual(self.ok("predict", TINY_BERT, "--data", first, rest), expected)

    def test_text_columns(self):
        rows = [{"question": "du to lifa", "answer": "ra manedafi"}]
        data = write_jsonl(self.folder / "pairs.jsonl", rows)
        pair = self.ok("predict", TINY_BERT, "--data", data, "--text-column", "question", "--text-pair-column", "answer")
        write_jsonl(data, [{"text": "du to lifa", "text_pair": "ra manedafi"}])
        self.assertEqual(self.ok("predict", TINY_BERT, "--data", data), pair)
        self.assertNotEqual(self.ok("predict", TINY_BERT, "--text", "du to lifa"), pair)


class OddTexts(CliTest):
    def test_empty_text(self):
        logits = examples("tiny_bert")[0]["logits"]
        self.assertEqual(examples("tiny_bert")[0]["text"], "")
        for arguments in (("--text", ""), ("--data", write_jsonl(self.folder / "texts.jsonl", [{"text": ""}]))):
            line = parse_lines(self.ok("predict", TINY_BERT, *arguments))[0]
            self.assertAlmostEqual(line["probabilities"]["positive"], softmax(logits)[2], delta=1e-5)

    def test_empty_texts_in_every_command(self):
        data = write_jsonl(self.folder / "texts.jsonl", [{"text": "", "label": "positive"}] * 3)
        best = max(range(3), key=lambda i: examples("tiny_bert")[0]["logits"][i])
        report = json.loads(self.ok("eval", TINY_BERT, "--data", data, "--json", "-"))
        self.assertEqual(report["metrics"]["accuracy"], float(best == 2))
        for flags in ((), ("--tokenizing",)):
            self.assertEqual(json.loads(self.ok("bench", TINY_BERT, "--data", data, "--json", "-", *flags))["runs"], 3)
        self.ok("quantize", TINY_BERT, "-o", self.folder / "int8", "--method", "static", "--calibration", data)
        self.ok("compare", TINY_BERT, self.folder / "int8", "--data", data)
        self.ok("calibrate", TINY_BERT, "--data", data, "-o", self.folder / "table.json")

    def test_text_of_10_mb(self):
        text = "ra manedafi " * 900000
        self.assertGreater(len(text), 10_000_000)
        for name, content in (("texts.jsonl", json.dumps({"text": text})), ("texts.csv", f'text\n"{text}"\n')):
            (self.folder / name).write_text(content)
            output = self.ok("predict", TINY_BERT, "--data", self.folder / name)
            self.assertIn("1 of 1 texts were cut to 128 tokens", self.stderr)
            self.assertEqual(output, self.ok("predict", TINY_BERT, "--text", text[:2000]))

    def test_batches_whose_multiples_overflow(self):
        expected = self.ok("predict", TINY_BERT, "--data", self.texts())
        for batch in (2**60, 2**61, 2**63 - 1):
            for threads in (1, 2):
                output = self.ok("predict", TINY_BERT, "--data", self.texts(), "--batch", batch, "--threads", threads)
                self.assertEqual(output, expected)
            self.ok("calibrate", TINY_BERT, "--data", self.texts(), "-o", self.folder / "table.json", "--batch", batch, "--force")
        self.ok("quantize", TINY_BERT, "-o", self.folder / "int8", "--method", "static", "--calibration", self.texts(),
                "--calibration-batches", 2**62, "--batch", 2**62)

    def test_truncation_is_said(self):
        data = write_jsonl(self.folder / "texts.jsonl", [{"text": "ra", "label": 0}, {"text": "ra " * 20, "label": 0}])
        for command in ("predict", "eval"):
            self.ok(command, TINY_BERT, "--data", data, "--max-length", 5)
            self.assertIn("1 of 2 texts were cut to 5 tokens", self.stderr)
            self.ok(command, TINY_BERT, "--data", data)
            self.assertEqual(self.stderr, "")

    def test_byte_order_mark_and_embedded_newlines(self):
        texts = ["du to\nlifa", "ra, \"manedafi\"", "tifa\r\ngomu"]
        expected = self.ok("predict", TINY_BERT, *(word for text in texts for word in ("--text", text)))
        quoted = ['"' + text.replace('"', '""') + '"' for text in texts]
        for mark in (b"", b"\xef\xbb\xbf"):
            for name, content in (("texts.csv", "\r\n".join(["text", *quoted])), ("texts.tsv", "\n".join(["text", *quoted, ""])),
                                  ("texts.json", json.dumps([{"text": text} for text in texts], indent=2)),
                                  ("texts.jsonl", "\r\n".join(json.dumps({"text": text}) for text in texts))):
                (self.folder / name).write_bytes(mark + content.encode())
                self.assertEqual(self.ok("predict", TINY_BERT, "--data", self.folder / name), expected, name)


def half(data, bfloat):
    """float32 bytes as float16 or bfloat16; the tiny models' numbers fit both."""
    values = struct.unpack(f"<{len(data) // 4}f", data)
    if bfloat:
        return b"".join(struct.pack("<f", value)[2:] for value in values)
    return struct.pack(f"<{len(values)}e", *values)


def write_pytorch(path, tensors):
    """What torch.save writes of a state dict of float32 tensors, without PyTorch."""
    utilities, torch = types.ModuleType("torch._utils"), types.ModuleType("torch")

    def _rebuild_tensor_v2():
        pass

    class FloatStorage:
        pass

    class Tensor:
        def __init__(self, key, shape):
            self.key, self.shape = key, shape

        def __reduce__(self):
            size = math.prod(self.shape)
            strides = tuple(math.prod(self.shape[i + 1:]) for i in range(len(self.shape)))
            storage = types.SimpleNamespace(id=("storage", FloatStorage, self.key, "cpu", size))
            return _rebuild_tensor_v2, (storage, 0, tuple(self.shape), strides, False, {})

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            return value.id if isinstance(value, types.SimpleNamespace) else None

    for module, value in ((utilities, _rebuild_tensor_v2), (torch, FloatStorage)):
        value.__module__, value.__qualname__ = module.__name__, value.__name__
        setattr(module, value.__name__, value)
        sys.modules[module.__name__] = module
    try:
        with zipfile.ZipFile(path, "w") as archive:
            with archive.open("archive/data.pkl", "w") as file:
                Pickler(file, 2).dump({name: Tensor(str(i), shape) for i, (name, (_, shape, _)) in enumerate(tensors.items())})
            for i, (_, _, data) in enumerate(tensors.values()):
                archive.writestr(f"archive/data/{i}", data)
    finally:
        del sys.modules["torch"], sys.modules["torch._utils"]


class Forms(CliTest):
    """The same checkpoint in other forms gives the same bytes of predictions."""

    def setUp(self):
        super().setUp()
        self.model = self.copy_model()
        self.path = self.model / "model.safetensors"
        self.tensors = read_tensors(self.path)
        self.expected = self.predictions(TINY_BERT)

    def check(self):
        self.assertEqual(self.predictions(self.model), self.expected)

    def test_half_precision(self):
        for dtype in ("F16", "BF16"):
            write_tensors(self.path, {name: (dtype, shape, half(data, dtype == "BF16"))
                                      for name, (_, shape, data) in self.tensors.items()})
            self.check()
        for layers, is_larger in (("classifier", True), ("*", False)):
            self.ok("quantize", self.model, "-o", self.folder / "out", "--include", layers, "--force")
            self.assertEqual("more than the original" in self.stderr, is_larger, self.stderr)

    def test_shards(self):
        self.path.unlink()
        names = list(self.tensors)
        for i in range(3):
            write_tensors(self.model / f"model-{i}.safetensors", {name: self.tensors[name] for name in names[i::3]})
        (self.model / "model.safetensors.index.json").write_text(json.dumps(
            {"metadata": {}, "weight_map": {name: f"model-{i % 3}.safetensors" for i, name in enumerate(names)}}))
        self.check()
        self.assertEqual(self.disk_bytes(), size(*self.model.glob("model*"), *(self.model / name for name in BESIDE)))

    def disk_bytes(self):
        report = self.folder / "report.json"
        self.ok("quantize", self.model, "-o", self.folder / "out", "--force", "--json", report)
        return json.loads(report.read_text())["base_disk_bytes"]

    def test_what_is_not_read_is_not_counted(self):
        expected = size(self.path, *(self.model / name for name in BESIDE))
        (self.model / "checkpoint-500").mkdir()
        for name in ("checkpoint-500/optimizer.pt", "training_args.bin", "pytorch_model.bin", "tf_model.h5"):
            (self.model / name).write_bytes(bytes(1000000))
        self.assertEqual(self.disk_bytes(), expected)

    def test_pytorch(self):
        self.path.unlink()
        write_pytorch(self.model / "pytorch_model.bin", self.tensors)
        self.check()
        names = list(self.tensors)
        (self.model / "pytorch_model.bin").unlink()
        for i in range(2):
            write_pytorch(self.model / f"pytorch_model-{i}.bin", {name: self.tensors[name] for name in names[i::2]})
        (self.model / "pytorch_model.bin.index.json").write_text(json.dumps(
            {"weight_map": {name: f"pytorch_model-{i % 2}.bin" for i, name in enumerate(names)}}))
        self.check()

    def test_extra_tensors(self):
        self.tensors["cls.predictions.bias"] = ("F32", [2], bytes(8))
        self.tensors["bert.embeddings.position_ids"] = ("I64", [1, 2], bytes(16))  # a buffer, which is not even told
        write_tensors(self.path, self.tensors)
        self.check()
        self.assertIn("ignored         1 tensors: cls.predictions.bias", self.ok("inspect", self.model))

    def test_vocabulary_without_tokenizer_json(self):
        (self.model / "tokenizer.json").unlink()
        self.check()

    def test_cache_layout(self):
        entry = self.folder / "models--org--name"
        (entry / "blobs").mkdir(parents=True)
        (entry / "refs").mkdir()
        (entry / "refs" / "main").write_text("0123abc")
        snapshot = entry / "snapshots" / "0123abc"
        snapshot.mkdir(parents=True)
        for i, path in enumerate(sorted(self.model.iterdir())):
            path.rename(entry / "blobs" / str(i))
            os.symlink(f"../../blobs/{i}", snapshot / path.name)
        self.model = entry
        self.check()
        self.assertEqual(self.disk_bytes(), size(*(snapshot / name for name in (self.path.name, *BESIDE))))

    def test_encoder_without_a_head(self):
        edit_json(self.model / "config.json", architectures=["BertForPreTraining"], id2label=None, problem_type=None)
        self.tensors = {name: tensor for name, tensor in self.tensors.items() if not name.startswith("classifier")}
        self.tensors["cls.seq_relationship.weight"] = ("F32", [2], bytes(8))
        write_tensors(self.path, self.tensors)
        self.assertIn("ignored         1 tensors: cls.seq_relationship.weight", self.ok("inspect", self.model))
        data = self.texts(60)
        for command in ("predict", "eval"):
            self.fails(USAGE, command, self.model, "--data", data, says="without a classification head; fit one with fit-head")
        self.ok("fit-head", self.model, "--data", data, "-o", self.folder / "fitted")
        lines = parse_lines(self.predictions(self.folder / "fitted", "--data", data))
        self.assertEqual(list(lines[0]["probabilities"]), LABELS)

    def test_labels_that_are_columns(self):
        rows = [json.loads(line)["text"] for line in self.texts(30).read_text().splitlines()]
        data = self.folder / "flags.csv"

        def write(gap):
            cells = [(str(i % 2), gap if i == 7 else "1.0" if i % 3 == 0 else "False") for i in range(len(rows))]
            quoted = ('"' + text.replace('"', '""') + '"' for text in rows)
            data.write_text("text,hate,threat\n" + "".join(f"{text},{','.join(row)}\n" for text, row in zip(quoted, cells)))

        write("0")
        self.assertIn("\nlabels: hate, threat\n", self.ok("fit-head", self.model, "--data", data, "-o", self.folder / "fitted"))
        write("")
        self.fails(MALFORMED, "fit-head", self.model, "--data", data, "-o", self.folder / "again",
                   says=("column 'threat': expected 0 or 1, as in 29 of 30 rows, got \"\" in row 8", str(data)))

    def test_quotes_that_are_text(self):
        data = self.folder / "glue.tsv"
        data.write_text('text\tlabel\n"Yes," he said\tpositive\n')
        self.fails(MALFORMED, "predict", self.model, "--data", data, says="where quotes are text, the format is tsv-plain")
        self.assertEqual(self.ok("predict", self.model, "--data", data, "--data-format", "tsv-plain"),
                         self.ok("predict", self.model, "--text", '"Yes," he said'))


class Artifacts(CliTest):
    def test_export_is_read_back_as_the_same_graph(self):
        self.ok("quantize", TINY_BERT, "-o", self.folder / "int8")
        for model, kind in ((TINY_BERT, "float"), (self.folder / "int8", "dynamic")):
            graph = self.ok("inspect", model, "--graph")
            for opset in (14, 17, 23):
                path = self.folder / f"{kind}{opset}.onnx"
                self.ok("export", model, "-o", path, "--opset", opset)
                self.assertEqual(self.ok("inspect", path, "--graph"), graph)
                report = self.folder / "bench.json"
                self.ok("bench", path, "--length", 16, "--iterations", 2, "--json", report)
                self.assertEqual(json.loads(report.read_text())["length"], "16")
        piped = support.run("export", self.folder / "int8", "-o", "-", "--opset", 17)
        self.assertEqual((piped.returncode, piped.stdout), (0, (self.folder / "dynamic17.onnx").read_bytes()))

    def test_export_says_where_other_runtimes_saturate(self):
        self.ok("quantize", TINY_BERT, "-o", self.folder / "int8")
        self.ok("quantize", TINY_BERT, "-o", self.folder / "reduced", "--overflow", "reduce-range")
        for model, may_saturate in ((TINY_BERT, False), (self.folder / "int8", True), (self.folder / "reduced", False)):
            self.ok("export", model, "-o", self.folder / "out.onnx", "--force")
            self.assertEqual("certify --data" in self.stderr, may_saturate, model)

    def test_export_of_each_architecture_is_read_back_as_the_same_graph(self):
        for name in ("tiny_roberta", "tiny_xlm_roberta", "tiny_albert"):
            self.ok("quantize", support.DATA / name, "-o", self.folder / name)
            for model in (support.DATA / name, self.folder / name):
                self.ok("export", model, "-o", self.folder / "out.onnx", "--opset", 17, "--force")
                self.assertEqual(self.ok("inspect", self.folder / "out.onnx", "--graph"), self.ok("inspect", model, "--graph"))

    def test_weights_that_layers_share_are_stored_once(self):
        tensors = read_tensors(support.DATA / "tiny_albert" / "model.safetensors")
        self.ok("quantize", support.DATA / "tiny_albert", "-o", self.folder / "out")
        expected = 0
        for name, (_, shape, data) in tensors.items():
            rows, columns = shape if len(shape) == 2 else (0, 0)
            if "token_type" in name or not rows:
                expected += len(data)
            else:  # codes, a scale a row; for linear layers also the sums that the zero point needs
                expected += rows * columns + (4 if "embeddings." in name else 8) * rows
        stored = (self.folder / "out" / "model.onnx.data").stat().st_size
        self.assertLess(expected, stored)
        self.assertLess(stored, expected + 64 * 3 * len(tensors))  # each begins on a cache line

    def test_float_model_is_quantized_on_its_way_out(self):
        self.ok("quantize", TINY_BERT, "-o", self.folder / "int8")
        for model in (TINY_BERT, self.folder / "int8"):
            self.ok("export", model, "-o", self.folder / f"{model.name}.onnx", "--format", "dynamic")
        self.assertEqual(*((self.folder / f"{name}.onnx").read_bytes() for name in ("tiny_bert", "int8")))

    def test_an_onnx_file_can_be_quantized(self):
        float_file, quantized = self.folder / "float.onnx", self.folder / "quantized"
        output = self.ok("export", TINY_BERT, "-o", float_file, "--external-data")
        total = size(float_file, self.folder / "float.onnx.data")
        self.assertIn(f"{total / 1e3:.1f} kB", output)
        self.ok("quantize", float_file, "-o", quantized, "--json", self.folder / "report.json")
        self.assertEqual(json.loads((self.folder / "report.json").read_text())["base_disk_bytes"], total)
        self.ok("export", quantized, "-o", self.folder / "quantized.onnx")
        self.fails(USAGE, "quantize", self.folder / "quantized.onnx", "-o", self.folder / "again",
                   says="no layer that is not quantized already")
        summary = self.ok("inspect", self.folder / "quantized.onnx")
        self.assertIn("method          dynamic (not stated; 14 linear layers in INT8)\n", summary)
        self.assertIn("maximum length  not stated: no tokenizer\n", summary)

    def test_artifact_needs_nothing_of_its_origin(self):
        model = self.copy_model()
        for method in ("dynamic", "fp16", "bf16"):
            out = self.folder / method
            self.ok("quantize", model, "-o", out, "--method", method)
            self.ok("inspect", out, "--verify")
        expected = {method: self.predictions(self.folder / method) for method in ("dynamic", "fp16", "bf16")}
        for path in model.iterdir():
            path.unlink()
        (self.folder / "elsewhere").mkdir()
        for method, lines in expected.items():
            (self.folder / method).rename(self.folder / "elsewhere" / method)
            self.assertEqual(self.predictions(self.folder / "elsewhere" / method), lines)
        # The tiny models' numbers fit both half-width types.
        self.assertEqual(expected["fp16"], self.predictions(TINY_BERT))
        self.assertEqual(expected["bf16"], self.predictions(TINY_BERT))

    def test_writing_is_deterministic(self):
        for name in ("one", "two"):
            self.ok("quantize", TINY_BERT, "-o", self.folder / name)
        for path in (self.folder / "one").iterdir():
            self.assertEqual(path.read_bytes(), (self.folder / "two" / path.name).read_bytes(), path.name)

    def test_each_part_of_calibration_can_be_switched_off(self):
        texts = support.write_jsonl(self.folder / "texts.jsonl", [{"text": f"the {word} is fine"} for word in "abcdefgh"])
        off = ("--smooth-quant", "off", "--gptq", "off", "--bias-correction", "off", "--embedding-block", "0")
        for method in ("static", "dynamic"):
            graphs = set()
            for i, flags in enumerate(((), ("--smooth-quant", "0.5"), off[:2], off[2:4], off[4:6], off[6:],
                                       ("--weight-observer", "mse"), off)):
                path = self.folder / f"{method}{i}"
                self.ok("quantize", TINY_BERT, "-o", path, "--method", method, "--calibration", texts, *flags)
                graph = self.ok("inspect", path, "--graph")
                graphs.add(graph)
                self.assertEqual("_smoothed" in graph, "off" not in flags[:2] or flags[0] != "--smooth-quant")
                self.assertEqual("_corrected" in graph, flags != off and flags != off[4:6])
                self.assertEqual("block_size" in graph, "--embedding-block" not in flags)
                self.predictions(path)
            self.assertEqual(len(graphs), 8)
        # All off, dynamic INT8 is what it is without texts.
        self.ok("quantize", TINY_BERT, "-o", self.folder / "plain")
        self.assertEqual(graph, self.ok("inspect", self.folder / "plain", "--graph"))

    def test_attention_in_int8(self):
        data = self.texts()
        for method, calibration in (("dynamic", ()), ("static", ("--calibration", data))):
            graphs = []
            for flag in ("on", "off"):
                path = self.folder / f"{method}_{flag}"
                report = self.ok("quantize", TINY_BERT, "-o", path, "--method", method, *calibration, "--int8-attention", flag)
                self.assertNotIn("stay in float", report)
                graphs.append(self.ok("inspect", path, "--graph"))
                self.assertIn(f"int8_attention {'true' if flag == 'on' else 'false'}", self.ok("inspect", path))
                self.predictions(path)
            self.assertIn("four dozen plain operators", self.ok("certify", self.folder / f"{method}_on"))
            self.assertNotIn(" Attention(", graphs[0])
            self.assertEqual(graphs[0].count("laconic.Int8Attention("), graphs[1].count(" Attention("))
            self.assertNotIn("laconic.Int8Attention(", graphs[1])

    def test_layers_can_be_chosen(self):
        layers = self.ok("inspect", TINY_BERT, "--layers").splitlines()
        self.assertIn("classifier", layers)
        types = "bert.embeddings.token_type_embeddings"
        self.assertIn(f"{types} (only where --include names it)", layers)
        self.ok("inspect", TINY_BERT, "--layers", "--json", self.folder / "layers.json")
        rows = json.loads((self.folder / "layers.json").read_text())["layers"]
        self.assertEqual([row["name"] + ("" if row["default"] else " (only where --include names it)") for row in rows], layers)
        self.assertIn({"name": types, "kind": "embedding", "default": False}, rows)
        self.ok("quantize", TINY_BERT, "-o", self.folder / "types", "--include", types)
        self.ok("quantize", TINY_BERT, "-o", self.folder / "all")
        recipe = json.loads((self.folder / "all" / "laconic.json").read_text())["recipe"]["layers"]
        self.assertEqual({row["name"] for row in rows if row["default"]}, set(recipe))
        self.assertNotIn("layers", json.loads(self.ok("inspect", TINY_BERT, "--json", "-")))
        self.ok("quantize", TINY_BERT, "-o", self.folder / "out", "--layers", "linear", "--exclude", "classifier,*pooler*")
        recipe = json.loads((self.folder / "out" / "laconic.json").read_text())["recipe"]["layers"]
        self.assertEqual(set(layers) - set(recipe),
                         {name for name in layers if "embeddings" in name or "pooler" in name or name == "classifier"})


class Reports(CliTest):
    LATENCY = {"mean", "std", "p50", "p95", "p99"}
    METRICS = {"accuracy", "micro_f1", "macro_f1", "macro_roc_auc", "labels"}

    def report(self, *arguments):
        self.ok(*arguments, "--json", self.folder / "report.json")
        return json.loads((self.folder / "report.json").read_text())

    def test_compare(self):
        self.ok("quantize", TINY_BERT, "-o", self.folder / "int8")
        data = self.texts(60)
        report = self.report("compare", TINY_BERT, self.folder / "int8", "--data", data)
        self.assertEqual((report["schema_version"], report["data"]), (1, str(data)))
        base, candidate = report["models"]
        for row, path, method in ((base, TINY_BERT, "float"), (candidate, self.folder / "int8", "dynamic")):
            self.assertEqual((row["path"], row["method"]), (str(path), method))
            names = (*BESIDE, "model.safetensors") if path == TINY_BERT else os.listdir(path)
            self.assertEqual(row["disk_bytes"], size(*(path / name for name in names)))
            self.assertEqual(set(row["latency_ms"]), self.LATENCY)
            self.assertLessEqual(self.METRICS, set(row["metrics"]))
            self.assertEqual(row["predictions_total"], 60)
            self.assertGreater(row["throughput_per_s"], 0)
            self.assertGreater(row["memory_bytes"], 0)
            self.assertEqual(sum(row["tensor_bytes"].values()), row["stored_tensor_bytes"])
            reduction = 100 * (1 - row["disk_bytes"] / base["disk_bytes"])
            self.assertAlmostEqual(row["size_reduction_percent"], reduction)
        parameters = sum(math.prod(shape) for _, shape, _ in read_tensors(TINY_BERT / "model.safetensors").values())
        self.assertAlmostEqual(base["compression_ratio"], 1)
        self.assertAlmostEqual(candidate["compression_ratio"], 4 * parameters / candidate["stored_tensor_bytes"])
        for member in ("predictions_changed", "texts_changed", "mean_abs_logit_difference", "max_abs_logit_difference"):
            self.assertEqual(base[member], 0)
        self.assertGreater(candidate["max_abs_logit_difference"], candidate["mean_abs_logit_difference"])

    def test_eval_counts_what_predict_says(self):
        data = self.texts(60)
        report = self.report("eval", TINY_BERT, "--data", data)
        self.assertEqual((report["schema_version"], report["texts"]), (1, 60))
        full = sum(len(row["input_ids"]) == 128 for row in examples("tiny_bert")[:60])
        self.assertIn(report["truncated"], (full - 1, full))  # one is of that length
        truth = [json.loads(line)["label"] for line in data.read_text().splitlines()]
        guesses = [line["labels"][0] for line in parse_lines(self.ok("predict", TINY_BERT, "--data", data))]
        right = sum(guess == label for guess, label in zip(guesses, truth, strict=True))
        self.assertAlmostEqual(report["metrics"]["accuracy"], right / 60)
        self.assertEqual(report["metrics"]["labels"]["negative"]["support"], truth.count("negative"))
        self.assertLessEqual(self.METRICS, set(report["metrics"]))

    def test_eval_takes_labels_from_the_column_that_is_named(self):
        rows = [json.loads(line) for line in self.texts(30).read_text().splitlines()]
        for row in rows:
            row["truth"], row["label"] = row["label"], "negative"
        data = write_jsonl(self.folder / "columns.jsonl", rows)
        supports = [self.report("eval", TINY_BERT, "--data", data, *column)["metrics"]["labels"]["negative"]["support"]
                    for column in ((), ("--label-column", "truth"))]
        self.assertEqual(supports, [30, 10])

    def test_packed_weights_are_kept_where_that_is_asked_for(self):
        model, data = self.copy_model(), self.texts(5)
        plain = self.ok("predict", model, "--data", data)
        self.assertEqual(list(model.glob("packed.*")), [])
        for _ in range(2):  # written, then read
            self.assertEqual(self.ok("predict", model, "--data", data, "--pack-cache"), plain)
            self.assertEqual(len(list(model.glob("packed.*"))), 1)

    def test_eval_where_the_model_does_not_state_its_problem(self):
        model, data = self.copy_model(), self.texts(20)
        edit_json(model / "config.json", problem_type=None)
        expected = self.report("eval", TINY_BERT, "--data", data)["metrics"]
        self.assertEqual(self.report("eval", model, "--data", data)["metrics"], expected)
        piped = self.ok("eval", model, "--data", "-", "--data-format", "json", "--json", "-", input=data.read_bytes())
        self.assertEqual(json.loads(piped)["metrics"], expected)
        rows = [{"text": "ra", "label": ["positive", "neutral"]}, {"text": "ra", "label": []}]
        self.ok("quantize", model, "-o", self.folder / "int8")
        for form in (model, self.folder / "int8"):  # a copy states no more than its original
            report = self.report("eval", form, "--data", write_jsonl(data, rows))
            self.assertEqual(report["metrics"]["labels"]["neutral"]["support"], 1)
            self.predictions(form, "--text", "ra")
            self.assertIn("note: the model does not say its problem_type", self.stderr)
        self.predictions(TINY_BERT, "--text", "ra")
        self.assertEqual(self.stderr, "")
        self.fails(MALFORMED, "eval", model, "--data", write_jsonl(data, [rows[1], {"text": "ra", "label": "neutral"}]),
                   says=("row 1 has no label", f"in file '{data}'\n"))

    def test_json_on_standard_output_is_alone_there(self):
        output = self.ok("eval", TINY_BERT, "--data", self.texts(), "--json", "-")
        self.assertEqual(json.loads(output)["texts"], 20)
        self.assertIn("accuracy", self.stderr)

    def test_bench(self):
        report = self.report("bench", TINY_BERT, "--batch", 3, "--length", "8-16", "--threads", 2, "--iterations", 4)
        self.assertEqual({key: report[key] for key in ("schema_version", "threads", "batch", "length", "runs")},
                         {"schema_version": 1, "threads": 2, "batch": 3, "length": "8-16", "runs": 4})
        self.assertEqual(set(report["latency_ms"]), self.LATENCY)
        for isa in ("scalar", self.ok("bench", TINY_BERT, "--iterations", 1).splitlines()[-1].split()[0]):
            environment = os.environ | {"LACONIC_FORCE_ISA": isa}
            report = json.loads(self.ok("bench", TINY_BERT, "--iterations", 1, "--json", "-", env=environment))
            self.assertEqual(report["isa"], isa)
        report = self.report("bench", TINY_BERT, "--data", self.texts(), "--batch", 8)
        self.assertEqual((report["length"], report["runs"]), ("data", 3))
        self.assertNotIn("tokenizing_share", report)
        self.assertGreater(report["peak_memory_bytes"], 1 << 20)
        report = self.report("bench", TINY_BERT, "--data", self.texts(), "--batch", 8, "--iterations", 7, "--warm-ups", 0,
                             "--tokenizing")
        self.assertEqual(report["runs"], 7)
        self.assertTrue(0 < report["tokenizing_share"] < 1, report)
        per_text = report["latency_ms"]["mean"] * 7 / (2 * 8 + 4 + 2 * 8 + 4 + 8)  # 20 texts in batches of 8, from the first
        self.assertAlmostEqual(report["throughput_per_s"] * per_text / 1e3, 1, places=6)

    def test_precision(self):
        """Where the CPU has bfloat16, it changes the candidates' answers, by little; the base stays as it is."""
        isa = json.loads(self.ok("bench", TINY_BERT, "--iterations", 1, "--json", "-"))["isa"]
        if isa not in ("avx512_bf16", "amx"):
            self.skipTest(f"no bfloat16 at level {isa}")
        self.assertNotIn("bf16", self.ok("inspect", TINY_BERT, "--plan").replace("[avx512_bf16]", ""))
        self.assertIn("linear bf16", self.ok("inspect", TINY_BERT, "--plan", "--precision", "bf16"))
        report = self.report("bench", TINY_BERT, "--iterations", 1, "--precision", "bf16")
        self.assertEqual(report["precision"], "bf16")
        base, candidate = self.report("compare", TINY_BERT, TINY_BERT, "--data", self.texts(60), "--precision", "bf16")["models"]
        self.assertEqual((base["precision"], candidate["precision"]), ("f32", "bf16"))
        self.assertTrue(0 < candidate["mean_abs_logit_difference"] < 0.1, candidate)  # of logits around 2
        self.assertLess(candidate["memory_bytes"], base["memory_bytes"])
        exact, rounded = (self.ok("predict", TINY_BERT, "--data", self.texts(60), "--precision", precision)
                          for precision in ("f32", "bf16"))
        self.assertEqual(len(exact.splitlines()), len(rounded.splitlines()))
        self.assertNotEqual(exact, rounded)
        self.ok("eval", TINY_BERT, "--data", self.texts(), "--precision", "bf16")

    def test_certify(self):
        """What is caught, that the exit status says so, and what each fix makes of it."""
        data = self.texts()
        models = {name: self.folder / name for name in ("plain", "auto", "all")}
        self.ok("quantize", TINY_BERT, "-o", models["plain"])
        report = self.report("certify", models["plain"], "--data", data)
        self.assertEqual((report["safe"], report["texts"]), ("no", 20))
        saturated = [layer["layer"] for layer in report["layers"] if layer["saturated"]]
        self.assertEqual([layer["layer"] for layer in report["layers"] if layer["safe"] == "no"], saturated)
        self.assertGreater(report["max_abs_logit_difference"], 0)
        self.assertEqual([slow["rule"] for slow in report["slow"]], ["per-token"])
        self.assertEqual(support.run("certify", models["plain"], "--data", data, "--strict").returncode, 8)
        self.assertIn("not known without data", self.ok("certify", models["plain"]))

        flags = ("--calibration", data, "--smooth-quant", "off", "--gptq", "off")
        fixed = self.report("quantize", TINY_BERT, "-o", models["auto"], "--overflow", "auto", *flags)["reduced_range"]
        self.assertTrue(fixed)
        self.ok("certify", models["auto"], "--data", data, "--strict")
        recipe = json.loads((models["auto"] / "laconic.json").read_text())
        self.assertIn(fixed[0], json.dumps(recipe))
        self.ok("export", models["auto"], "-o", self.folder / "auto.onnx")
        self.assertEqual(self.report("certify", self.folder / "auto.onnx")["layers"],
                         self.report("certify", models["auto"])["layers"])

        self.ok("quantize", TINY_BERT, "-o", models["all"], "--overflow", "reduce-range")
        self.assertIn("without VNNI: yes", self.ok("certify", models["all"], "--strict"))

    def test_method_of_an_onnx_file(self):
        """Ours do not need to state it and others' cannot: their layers show it."""
        data = self.texts()
        self.ok("quantize", TINY_BERT, "-o", self.folder / "static", "--method", "static", "--calibration", data)
        self.ok("export", self.folder / "static", "-o", self.folder / "static.onnx")
        for method, path in (("static", self.folder / "static.onnx"), ("float", support.DATA / "onnx" / "bert.optimum.onnx"),
                             *((method, support.DATA / "onnx" / f"bert.{name}.onnx")
                               for name, method in (("ort_dynamic_s8", "dynamic"), ("ort_qdq_s8s8", "static"),
                                                    ("ort_qoperator_u8s8", "static")))):
            self.assertEqual(self.report("inspect", path)["method"], method, path)
            self.assertRegex(self.ok("inspect", path), f"method +{method}")
        model = self.copy_model()
        (self.folder / "static.onnx").rename(model / "static.onnx")
        for command in (("compare", TINY_BERT, model / "static.onnx"), ("eval", model / "static.onnx")):
            report = self.report(*command, "--data", data)
            self.assertEqual(report.get("models", [report])[-1]["method"], "static")

    def test_nothing_is_drawn_where_there_is_no_terminal(self):
        self.ok("quantize", TINY_BERT, "-o", self.folder / "int8")
        self.assertEqual(self.stderr, "")


class Calibrate(CliTest):
    def calibrate(self, name, *arguments):
        """The table that `laconic calibrate` writes, as bytes."""
        self.ok("calibrate", *arguments, "-o", self.folder / name)
        return (self.folder / name).read_bytes()

    def test_tables(self):
        data = self.texts(50)
        whole = self.calibrate("whole", TINY_BERT, "--data", data)
        self.assertEqual(self.calibrate("batches", TINY_BERT, "--data", data, "--batch", 3, "--threads", 2), whole)
        shards = [self.folder / f"{i}.json" for i in range(3)]
        for i, shard in enumerate(shards):
            self.ok("calibrate", TINY_BERT, "--data", data, "--shard", f"{i}/3", "-o", shard)
        self.assertEqual(self.calibrate("merged", "--merge", *reversed(shards)), whole)
        self.assertEqual(self.stderr, "")
        some = self.folder / "some"
        self.calibrate(some.name, "--merge", *shards[:2])
        self.assertEqual(self.stderr, f"note: {some} lacks shards of its texts: 2/3\n")
        self.ok("quantize", TINY_BERT, "-o", self.folder / "int8", "--method", "static", "--calibration-table", some)
        self.assertEqual(self.stderr, f"note: {some} lacks shards of its texts: 2/3\n")
        self.assertEqual(json.loads(self.calibrate("few", TINY_BERT, "--data", data, "--calibration-batches", 2, "--batch", 5))
                         ["parts"][0]["texts"], 10)
        self.assertEqual(self.ok("calibrate", TINY_BERT, "--data", data, "-o", "-").encode(), whole)
        report = self.folder / "report.json"
        self.calibrate("again", TINY_BERT, "--data", data, "--json", report)
        self.assertEqual(json.loads(report.read_text())["texts"], 50)

    def test_batches_are_spread_over_the_file(self):
        """Of 20 texts 0, 3, 6, 10, 13 and 16; of standard input the first; and the artifact says so."""
        data = self.texts(20)
        lines = data.read_text().splitlines(keepends=True)
        spread, first = self.folder / "spread.jsonl", self.folder / "first.jsonl"
        spread.write_text("".join(lines[i] for i in (0, 3, 6, 10, 13, 16)))
        first.write_text("".join(lines[:6]))
        flags = ("--batch", 3, "--calibration-batches", 2)
        self.assertEqual(self.calibrate("a", TINY_BERT, "--data", data, *flags), self.calibrate("b", TINY_BERT, "--data", spread))
        self.ok("calibrate", TINY_BERT, "--data", "-", "--data-format", "json", *flags, "-o", self.folder / "c",
                input=data.read_bytes())
        self.assertEqual((self.folder / "c").read_bytes(), self.calibrate("d", TINY_BERT, "--data", first))
        for method in ("static", "dynamic"):
            recipes = []
            for i, texts in enumerate((data, spread)):
                self.ok("quantize", TINY_BERT, "-o", self.folder / f"{method}{i}", "--method", method, "--calibration", texts, *flags)
                recipes.append(json.loads((self.folder / f"{method}{i}" / "laconic.json").read_text()))
            self.assertEqual(recipes[0]["sha256"], recipes[1]["sha256"])
            self.assertEqual([recipe["recipe"].pop("calibration_rows") for recipe in recipes], [20, 6])
            self.assertEqual(recipes[0]["recipe"], recipes[1]["recipe"])
            self.assertEqual(recipes[0]["recipe"]["calibration_texts"], 6)
            self.assertIn("6 texts, spread evenly over 20\n", self.ok("inspect", self.folder / f"{method}0"))

    def test_qconfigs(self):
        data = self.texts(20)
        config = self.folder / "qconfig.json"
        config.write_text('{"smooth_quant": "off", "activations": {"observer": "moving_average"}}')
        table = json.loads(self.calibrate("moving", TINY_BERT, "--data", data, "--qconfig", config))
        self.assertEqual({value["observer"]["kind"] for value in table["values"].values()}, {"moving_average"})
        table = json.loads(self.calibrate("x86", TINY_BERT, "--data", data, "--qconfig", "x86"))
        self.assertEqual({value["observer"]["kind"] for value in table["values"].values()}, {"histogram"})

    def graph(self, *flags):
        """What `laconic quantize --method static` makes of tiny BERT, as text."""
        self.ok("quantize", TINY_BERT, "-o", self.folder / "out", "--force", "--method", "static", *flags)
        return self.ok("inspect", self.folder / "out", "--graph")

    def test_a_table_gives_the_ranges_of_its_texts(self):
        data, table = self.texts(50), self.folder / "table.json"
        self.calibrate(table.name, TINY_BERT, "--data", data)
        rounding_off = ("--smooth-quant", "off", "--gptq", "off", "--bias-correction", "off")
        self.assertEqual(self.graph("--calibration-table", table),
                         self.graph("--calibration", data, *rounding_off, "--embedding-block", 32))
        self.fails(USAGE, "quantize", TINY_BERT.parent / "tiny_electra", "-o", self.folder / "no", "--method", "static",
                   "--calibration-table", table,
                   says=("the calibration table is of another model", f"in file '{table}'"))

    def test_overrides_by_pattern(self):
        data, config = self.texts(20), self.folder / "qconfig.json"
        config.write_text(json.dumps({"overrides": [{"layers": ["*pooler*"], "quantize": False},
                                                    {"layers": ["classifier"], "weights": {"dtype": "u8"}}]}))
        graph = self.graph("--calibration", data, "--qconfig", config)
        self.assertRegex(graph, r"const bert.pooler.dense.weight: f32")
        self.assertRegex(graph, r"const classifier.weight_quantized: u8")
        self.assertNotRegex(graph, r"const bert\S*_quantized: u8")


if __name__ == "__main__":
    support.main()
