"""Tests that model files which are broken, hostile or not there are refused: bad_models_test.py LACONIC"""
import contextlib
import json
import os
import pickle
import struct
import sys
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import support  # noqa: E402
from support import IO, MALFORMED, NOT_FOUND, UNSUPPORTED, USAGE, CliTest, edit_json, read_tensors, write_tensors  # noqa: E402

WORDS = "bert.embeddings.word_embeddings.weight"


class BadModelTest(CliTest):
    def setUp(self):
        super().setUp()
        self.model = self.copy_model()

    def refused(self, status, *says):
        """`quantize` refuses the model, and so does `inspect`."""
        self.fails(status, "quantize", self.model, "-o", self.folder / "out", says=says)
        self.fails(status, "inspect", self.model, says=says)


class Safetensors(BadModelTest):
    def setUp(self):
        super().setUp()
        self.path = self.model / "model.safetensors"
        self.tensors = read_tensors(self.path)

    def write(self, header, data=b"", length=None):
        file = support.safetensors_file(header, data)
        self.path.write_bytes(file if length is None else struct.pack("<Q", length) + file[8:])

    def with_header(self, change):
        """The file with `change(header)` applied to its header alone."""
        header = support.make_header(self.tensors)
        change(header)
        self.write(header, b"".join(data for _, _, data in self.tensors.values()))

    def test_missing(self):
        self.path.unlink()
        self.refused(NOT_FOUND, "no checkpoint in", str(self.model), "expected model.safetensors")

    def test_empty(self):
        self.path.write_bytes(b"")
        self.refused(MALFORMED, "model.safetensors", "expected at least 8 bytes, got 0")

    def test_truncated(self):
        whole = self.path.read_bytes()
        for kept in (9, 1000, len(whole) - 1):
            self.path.write_bytes(whole[:kept])
            self.refused(MALFORMED, "model.safetensors", "past the file's")

    def test_over_long(self):
        with self.path.open("ab") as file:
            file.write(b"more")
        self.refused(MALFORMED, "model.safetensors", "expected the file to end with its last tensor, got 4 more bytes")

    def test_header_of_2_to_the_60(self):
        self.write(b"{}", length=2**60)
        self.refused(MALFORMED, "model.safetensors", "expected a header of at most 100000000 bytes, got 1152921504606846976")

    def test_header_that_is_not_json(self):
        for header, says in ((b"{", "malformed JSON"), (b"[]", "expected the header to be an object, got array"),
                             (b'{"\xff": 1}', "malformed JSON"), (b"[" * 100000, "nest")):
            self.write(header)
            self.refused(MALFORMED, "model.safetensors", says)

    def test_overlapping_offsets(self):
        def overlap(header):
            begin, end = header[WORDS]["data_offsets"]
            header[WORDS]["data_offsets"] = [begin - 4, end - 4]
        self.with_header(overlap)
        self.refused(MALFORMED, "tensor 'bert.", "inside the tensor before", "model.safetensors")

    def test_unknown_dtype(self):
        self.with_header(lambda header: header[WORDS].update(dtype="F4_E2M1"))
        self.refused(UNSUPPORTED, f"tensor '{WORDS}'", "expected one of the dtypes F64, F32", "got 'F4_E2M1'")

    def test_dtype_that_holds_no_weights(self):
        self.with_header(lambda header: header[WORDS].update(dtype="I32"))
        self.refused(UNSUPPORTED, f"tensor '{WORDS}'", "expected a floating-point tensor, got s32")

    def test_shape_that_is_not_the_bytes(self):
        self.with_header(lambda header: header[WORDS].update(shape=[146, 33]))
        self.refused(MALFORMED, f"tensor '{WORDS}'", "expected 4818 elements of 4 bytes for shape [146, 33]")

    def test_shape_that_overflows(self):
        self.with_header(lambda header: header[WORDS].update(shape=[2**62, 2**62]))
        self.refused(MALFORMED, f"tensor '{WORDS}'", "too many elements")

    def test_shape_that_is_not_the_model(self):
        self.with_header(lambda header: header[WORDS].update(shape=[32, 146]))
        self.refused(MALFORMED, f"tensor '{WORDS}'", "expected shape [146, 32], got [32, 146]", str(self.model))

    def test_missing_tensor(self):
        name = "bert.encoder.layer.1.output.dense.bias"
        del self.tensors[name]
        write_tensors(self.path, self.tensors)
        self.refused(MALFORMED, f"lacks tensor '{name}' [32]", str(self.model))

    def test_weights_that_are_not_finite(self):
        dtype, shape, data = self.tensors[WORDS]
        self.tensors[WORDS] = (dtype, shape, data[:32 * 4 * 3] + struct.pack("<f", float("nan")) + data[32 * 4 * 3 + 4:])
        write_tensors(self.path, self.tensors)
        for method in ("dynamic", "fp16", "bf16"):
            self.fails(USAGE, "quantize", self.model, "-o", self.folder / "out", "--method", method, says=("nan",))

    def test_calibration_that_is_empty_or_not_finite(self):
        texts = self.folder / "texts.csv"

        def refused(status, *says):
            self.fails(status, "quantize", self.model, "-o", self.folder / "out", "--method", "static", "--calibration",
                       texts, says=says)

        self.fails(USAGE, "quantize", self.model, "-o", self.folder / "out", "--method", "static",
                   says=("--method static needs --calibration",))
        refused(NOT_FOUND, str(texts))
        for text in ("", "text,label\n"):
            texts.write_text(text)
            refused(MALFORMED, "no rows in", str(texts))
        texts.write_text("text\nhello world\n")
        for name, value in ((WORDS, "nan"), (WORDS, "inf")):
            self.spoil(name, value)
            refused(USAGE, f"expected finite weights, got {value}", "'bert.embeddings.word_embeddings'")
        # No weight that is quantized, but what the layers behind it are given.
        for layer, value in (("embeddings", "nan"), ("encoder.layer.0.attention.output", "-inf")):
            self.spoil(f"bert.{layer}.LayerNorm.weight", value)
            refused(USAGE, f"'bert.{layer}.LayerNorm' is not finite on text 1")

    def spoil(self, name, value):
        """The model as it was, but for the first element of a tensor."""
        dtype, shape, data = self.tensors[name]
        write_tensors(self.path, self.tensors | {name: (dtype, shape, struct.pack("<f", float(value)) + data[4:])})

    def test_weights_that_half_precision_cannot_hold(self):
        dtype, shape, data = self.tensors[WORDS]
        self.tensors[WORDS] = (dtype, shape, struct.pack("<f", 70000) + data[4:])
        write_tensors(self.path, self.tensors)
        self.fails(USAGE, "quantize", self.model, "-o", self.folder / "out", "--method", "fp16",
                   says=(WORDS, "element [0, 0] is 70000, which f16 cannot hold"))
        self.ok("quantize", self.model, "-o", self.folder / "out", "--method", "bf16")

    def test_shards(self):
        self.path.unlink()
        index = self.model / "model.safetensors.index.json"
        for weight_map, status, says in (
                ({WORDS: "../secret.safetensors"}, MALFORMED, "expected a plain file name"),
                ({WORDS: 7}, MALFORMED, "expected the name of a file"),
                ({WORDS: "gone.safetensors"}, NOT_FOUND, "gone.safetensors"),
                ("", MALFORMED, "expected an object 'weight_map'")):
            index.write_text(json.dumps({"weight_map": weight_map}))
            self.refused(status, says)
        write_tensors(self.model / "one.safetensors", {name: self.tensors[name] for name in list(self.tensors)[:3]})
        index.write_text(json.dumps({"weight_map": dict.fromkeys(self.tensors, "one.safetensors")}))
        self.refused(MALFORMED, "is not in 'one.safetensors'", "model.safetensors.index.json")


class Config(BadModelTest):
    def refused_with(self, status, *says, **changes):
        original = (self.model / "config.json").read_bytes()
        edit_json(self.model / "config.json", **changes)
        self.refused(status, *says)
        (self.model / "config.json").write_bytes(original)

    def test_unknown_model_type(self):
        self.refused_with(UNSUPPORTED, "model_type 'gpt2' is not known; known: bert, electra, distilbert, roberta", model_type="gpt2")
        self.refused_with(UNSUPPORTED, "model_type ''", model_type=None)

    def test_settings_that_are_not_handled(self):
        self.refused_with(UNSUPPORTED, "'is_decoder' is true", is_decoder=True)
        self.refused_with(UNSUPPORTED, "'relative_key'", position_embedding_type="relative_key")
        self.refused_with(UNSUPPORTED, "activation 'swish'", "known: gelu", hidden_act="swish")
        self.refused_with(UNSUPPORTED, "regression", problem_type="regression")

    def test_sizes_that_make_no_sense(self):
        for value, shown in ((0, "0"), (-1, "-1"), (2**62, str(2**62)), (None, "nothing"), (1e300, "1e+300")):
            self.refused_with(MALFORMED, "'hidden_size': expected a size from 1 to", f"got {shown}", hidden_size=value)
        self.refused_with(MALFORMED, "'hidden_size': expected an integer, got string", hidden_size="32")
        self.refused_with(MALFORMED, "not a multiple of 5 heads", num_attention_heads=5)
        self.refused_with(MALFORMED, "lacks tensor 'bert.encoder.layer.2.", num_hidden_layers=3)
        self.refused_with(MALFORMED, "lacks tensor", num_hidden_layers=2**28)

    def test_positions_behind_the_padding(self):
        self.model = self.copy_model("tiny_xlm_roberta", "positions")
        self.refused_with(MALFORMED, "pad_token_id 129 leaves no position of 130", pad_token_id=129)
        self.refused_with(MALFORMED, "pad_token_id -1", pad_token_id=-1)

    def test_layers_that_share_weights(self):
        self.model = self.copy_model("tiny_albert", "sharing")
        self.refused_with(MALFORMED, "'embedding_size'", embedding_size=None)
        self.refused_with(MALFORMED, "4 groups for 3 hidden layers", num_hidden_groups=4)
        self.refused_with(MALFORMED, "lacks tensor 'albert.encoder.albert_layer_groups.2.", num_hidden_groups=3)
        self.refused_with(UNSUPPORTED, "at most 1000 in all", num_hidden_layers=2**28)
        self.refused_with(UNSUPPORTED, "at most 1000 in all", inner_group_num=400)

    def test_labels(self):
        self.refused_with(MALFORMED, "expected ids 0 to 1", id2label={"0": "a", "5": "b"})
        self.refused_with(MALFORMED, "two labels are called 'a'", id2label={"0": "a", "1": "a"})
        self.refused_with(MALFORMED, "tensor 'classifier.weight': expected shape [2, 32], got [3, 32]",
                          id2label={"0": "a", "1": "b"})

    def test_file_that_is_not_json(self):
        for text, says in ((b"", "malformed JSON"), (b"{", "malformed JSON"), (b"[" * 5000, "nested deeper than 128"),
                           (b"[]", "expected a JSON object, got array"), (b'{"model_type": "\xff"}', "ill-formed UTF-8"),
                           (b"{} {}", "malformed JSON")):
            (self.model / "config.json").write_bytes(text)
            self.refused(MALFORMED, says)

    def test_missing(self):
        (self.model / "config.json").unlink()
        self.refused(NOT_FOUND, "config.json", "No such file")


class Tokenizer(BadModelTest):
    def refused_with(self, status, *says, **changes):
        original = (self.model / "tokenizer.json").read_bytes()
        edit_json(self.model / "tokenizer.json", **changes)
        self.refused(status, "tokenizer", *says)
        (self.model / "tokenizer.json").write_bytes(original)

    def test_missing(self):
        for name in ("tokenizer.json", "vocab.txt"):
            (self.model / name).unlink()
        self.refused(NOT_FOUND, "neither tokenizer.json nor vocab.txt nor vocab.json with merges.txt in", str(self.model))

    def test_file_that_is_not_json(self):
        for text in (b"", b'{"model":', b"\x00" * 100, b'{"model": {"vocab": {"\xff": 0}}}'):
            (self.model / "tokenizer.json").write_bytes(text)
            self.refused(MALFORMED, "invalid file: malformed JSON at column ", f"in file '{self.model / 'tokenizer.json'}'\n")

    def test_parts_that_are_not_handled(self):
        self.refused_with(UNSUPPORTED, "Lua", normalizer={"type": "Lua"})
        self.refused_with(UNSUPPORTED, "Lua", pre_tokenizer={"type": "Lua"})
        self.refused_with(UNSUPPORTED, "Lua", post_processor={"type": "Lua"})
        self.refused_with(UNSUPPORTED, "Lua", model={"type": "Lua", "vocab": {}})

    def test_vocabulary(self):
        self.refused_with(MALFORMED, "'[UNK]' is not in the vocabulary",
                          model={"type": "WordPiece", "vocab": {}, "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                                 "max_input_chars_per_word": 100})
        self.refused_with(MALFORMED, "vocab", model={"type": "WordPiece", "vocab": 7, "unk_token": "[UNK]",
                                                     "continuing_subword_prefix": "##", "max_input_chars_per_word": 100})
        self.refused_with(MALFORMED, "expected a JSON object", model=[])

    def test_vocabulary_that_is_not_utf8(self):
        (self.model / "tokenizer.json").unlink()
        (self.model / "vocab.txt").write_bytes(b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n\xc3\x28\n")
        self.refused(MALFORMED, "vocab.txt", "not UTF-8 at byte 24")


class Malicious:
    """What a pickle of this class runs when it is loaded."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch '{self.target}'",)


class Pickle(BadModelTest):
    def setUp(self):
        super().setUp()
        (self.model / "model.safetensors").unlink()
        self.path = self.model / "pytorch_model.bin"

    def write(self, pickled):
        with zipfile.ZipFile(self.path, "w") as archive:
            archive.writestr("archive/data.pkl", pickled)
            archive.writestr("archive/version", "3\n")

    def test_code_is_refused_and_not_run(self):
        for protocol in range(6):  # torch.save writes the second
            self.write(pickle.dumps({WORDS: Malicious(self.folder / "run")}, protocol))
            self.refused(MALFORMED, "pytorch_model.bin", "refused to import 'posix.system'" if protocol == 2 else "pickle")
        self.write(b"\x80\x02cbuiltins\neval\nX\x03\x00\x00\x001+1\x85R.")
        self.refused(MALFORMED, "pytorch_model.bin", "refused to import 'builtins.eval'")

    def test_rubbish(self):
        for pickled in (b"", b"\x80\x02", b"\x80\x02" + b"(" * 10000, b"\x80\x02]q\x00h\x00a.", b"\x80\x02K\x01."):
            self.write(pickled)
            self.refused(MALFORMED, "pytorch_model.bin")

    def test_file_that_is_no_archive(self):
        for data in (b"", b"PK\x05\x06", os.urandom(1000)):
            self.path.write_bytes(data)
            self.refused(MALFORMED, "pytorch_model.bin")

    def test_truncated(self):
        whole = (support.DATA / "formats" / "dtypes.bin").read_bytes()
        for kept in (100, len(whole) // 2, len(whole) - 1):
            self.path.write_bytes(whole[:kept])
            self.refused(MALFORMED, "pytorch_model.bin")


class OddFiles(BadModelTest):
    """Things that are not regular files, where a file is expected: refused at once, not waited for."""

    NAMES = ("config.json", "model.safetensors", "tokenizer.json")

    @contextlib.contextmanager
    def replaced(self, name, make):
        path, kept = self.model / name, self.folder / "kept"
        path.rename(kept)
        make(path)
        yield
        path.rmdir() if path.is_dir() else path.unlink()
        kept.rename(path)

    def test_fifo_device_directory(self):
        for kind, make in (("a FIFO", os.mkfifo), ("a directory", os.mkdir),
                           ("a device", lambda path: os.symlink("/dev/zero", path))):
            for name in self.NAMES:
                with self.subTest(name=name, kind=kind), self.replaced(name, make):
                    self.refused(USAGE, f"expected a regular file, got {kind}", name)

    def test_links_that_lead_nowhere(self):
        for name in self.NAMES[:2]:  # of tokenizers there may be two kinds
            with self.replaced(name, lambda path: os.symlink("gone", path)):
                self.refused(NOT_FOUND, name)
            with self.replaced(name, lambda path: os.symlink(path.name, path)):
                self.refused(IO, name, "Too many levels of symbolic links")

    def test_model_that_is_no_directory(self):
        for path, status, says in ((self.folder / "gone", NOT_FOUND, "no model at"),
                                   (self.model / "config.json" / "x", NOT_FOUND, "no model at"),
                                   ("/dev/null", USAGE, "expected a regular file, got a device"),
                                   (self.folder / ("x" * 300), IO, "File name too long"),
                                   (self.model / "vocab.txt", MALFORMED, "not an ONNX model"),
                                   (self.folder, NOT_FOUND, "config.json")):
            self.model = path
            self.refused(status, says)
        os.mkfifo(self.folder / "fifo")
        self.model = self.folder / "fifo"
        self.refused(USAGE, "expected a regular file, got a FIFO")

    def test_cache_entry_without_its_snapshot(self):
        entry = self.folder / "models--org--name"
        (entry / "snapshots").mkdir(parents=True)
        self.model = entry
        self.refused(NOT_FOUND, "refs/main")
        (entry / "refs").mkdir()
        (entry / "refs" / "main").write_text("abc")
        self.refused(NOT_FOUND, "'abc', which is not there")


class Artifact(BadModelTest):
    def setUp(self):
        super().setUp()
        self.ok("quantize", self.model, "-o", self.folder / "artifact")
        self.model = self.folder / "artifact"

    def refused(self, status, *says):
        for command in ("inspect", "bench"):
            self.fails(status, command, self.model, says=says)

    def test_newer_schema(self):
        edit_json(self.model / "laconic.json", schema_version=2)
        self.refused(UNSUPPORTED, "laconic.json", "schema_version 2; this program reads up to 1")

    def test_manifest_that_contradicts_the_graph(self):
        edit_json(self.model / "laconic.json", labels=["a", "b"])
        self.refused(MALFORMED, "names 2 labels, but the graph gives f32[batch, 3]")

    def test_files_that_are_missing(self):
        for name in ("model.onnx", "model.onnx.data"):
            data = (self.model / name).read_bytes()
            (self.model / name).unlink()
            self.refused(NOT_FOUND, name)
            (self.model / name).write_bytes(data)

    def test_files_that_are_truncated(self):
        for name in ("model.onnx", "model.onnx.data"):
            data = (self.model / name).read_bytes()
            for kept in (0, len(data) // 2, len(data) - 100):
                (self.model / name).write_bytes(data[:kept])
                self.refused(MALFORMED, name)
            (self.model / name).write_bytes(data)

    def test_every_flipped_byte_is_found(self):
        self.ok("inspect", self.model, "--verify")
        for path in sorted(self.model.iterdir()):
            if path.name == "laconic.json":  # holds the digests of the others
                continue
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
            self.fails(MALFORMED, "inspect", self.model, "--verify", says=(path.name,))
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
        self.ok("inspect", self.model, "--verify")

    def test_verifying_what_is_no_artifact(self):
        self.fails(NOT_FOUND, "inspect", self.folder / "model", "--verify",
                   says=("no laconic.json in", "only what laconic wrote has digests"))
        self.fails(NOT_FOUND, "inspect", self.folder / "gone", "--verify", says="No such file")
        edit_json(self.model / "laconic.json", sha256=None)
        self.fails(MALFORMED, "inspect", self.model, "--verify", says="has no digests")

    def test_compressing_twice(self):
        self.fails(USAGE, "quantize", self.model, "-o", self.folder / "out", says="already compressed (dynamic)")
        self.ok("export", self.model, "-o", self.folder / "dynamic.onnx")  # which does not say it, but has the codes
        for model in (self.model, self.folder / "dynamic.onnx"):
            self.fails(USAGE, "export", model, "-o", self.folder / "out.onnx", "--format", "float",
                       says="is quantized (dynamic); export its original as float")

    def test_data_outside_the_directory(self):
        graph = (self.model / "model.onnx").read_bytes()
        name = b"model.onnx.data"
        for other in (b"/etc/././passwd", b"../../onnx.data"):
            self.assertEqual(len(other), len(name))
            (self.model / "model.onnx").write_bytes(graph.replace(name, other))
            self.refused(MALFORMED, "expected a path below the model's directory")


if __name__ == "__main__":
    support.main()
