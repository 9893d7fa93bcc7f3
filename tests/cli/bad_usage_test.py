"""Tests that bad options, bad data, outputs that cannot be written and Ctrl-C end well: bad_usage_test.py LACONIC"""
import fcntl
import json
import os
import resource
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import support  # noqa: E402
from support import (INTERRUPTED, IO, MALFORMED, NOT_FOUND, RESOURCE, TINY_BERT, UNSUPPORTED, USAGE, CliTest, edit_json,  # noqa: E402
                     listing, read_tensors, write_jsonl, write_tensors)


class Options(CliTest):
    def test_unknown_method_lists_the_known_ones(self):
        self.fails(USAGE, "quantize", TINY_BERT, "-o", self.folder / "out", "--method", "int3",
                   says="unknown method 'int3'; known: dynamic, static, fp16, bf16")

    def test_what_calibration_needs(self):
        texts = ("--calibration", self.texts())
        for arguments, says in (
                (("--method", "static"), "--method static needs --calibration"),
                (("--calibration-batches", 8), "--calibration-batches requires --calibration"),
                (("--gptq", "on"), "gptq needs texts"),
                (("--smooth-quant", "auto"), "needs texts to choose by"),
                (("--activation-dtype", "qint8"), "full affine u8 by ONNX's arithmetic"),
                (("--activation-observer", "mse"), "would do nothing"),
                (("--weight-dtype", "quint8", "--overflow", "auto"), "never saturate"),
                (("--qconfig", "x86", "--method", "bf16"), "are for methods dynamic and static, got 'bf16'"),
                ((*texts, "--method", "static", "--activation-granularity", "token"), "only as the model runs"),
                ((*texts, "--method", "static", "--layers", "embedding"), "no linear layer is selected"),
                ((*texts, "--method", "fp16"), "calibration is for methods static and dynamic, got 'fp16'"),
                ((*texts, "--gptq", "perhaps"), "--gptq"),
                (("--int8-attention", "yes"), "--int8-attention"),
                (("--int8-attention", "on", "--method", "bf16"), "are for methods dynamic and static, got 'bf16'"),
                ((*texts, "--smooth-quant", "1.5"), "up to 1, got 1.5"),
                ((*texts, "--smooth-quant", "x"), "expected auto, off or a number, got 'x'"),
                ((*texts, "--embedding-block", "33"), "--embedding-block")):
            self.fails(USAGE, "quantize", TINY_BERT, "-o", self.folder / "out", *arguments, says=says)

    def test_empty_values(self):
        texts = self.texts()
        for command, flags in (
                (("quantize", TINY_BERT), ("-o", "--calibration-table", "--qconfig", "--json", "--include")),
                (("predict", TINY_BERT, "--data", texts), ("-o", "--text-column", "--data-format", "--precision")),
                (("calibrate", TINY_BERT, "--data", texts), ("-o", "--shard")), (("export", TINY_BERT), ("-o", "--format")),
                (("inspect",), ())):
            for flag in (*((flag, "") for flag in flags), ("",) if not flags else ("-o", "out", "--batch", "")):
                self.fails(USAGE, *command, *flag, says="expected", cwd=self.folder)

    def test_unknown_names(self):
        out = ("-o", self.folder / "out")
        for arguments, says in (
                (("quantize", TINY_BERT, *out, "--layers", "conv"), "unknown layer kind 'conv'; known: linear, embedding"),
                (("quantize", TINY_BERT, *out, "--include", "*lstm*"), "no layer matches '*lstm*'"),
                (("quantize", TINY_BERT, *out, "--exclude", "*"), "select no layer"),
                (("export", TINY_BERT, *out, "--format", "static"), "unknown format 'static'; known: float, dynamic"),
                (("predict", TINY_BERT, "--data", self.texts(), "--data-format", "xml"), "unknown data format 'xml'"),
                (("frobnicate", "x"), "laconic: invalid argument: unknown command 'frobnicate'; see laconic --help\n"),
                (("--frobnicate",), "unexpected argument '--frobnicate'; see laconic --help\n"),
                (("predict", TINY_BERT, "--frobnicate", 7), "unexpected argument '--frobnicate'; see laconic predict --help\n"),
                (("predict",), "laconic: invalid argument: MODEL is required; see laconic predict --help\n"),
                ((), "expected a command")):
            self.fails(USAGE, *arguments, says=says)

    def test_unknown_isa(self):
        plan = self.ok("inspect", TINY_BERT, "--plan", env={k: v for k, v in os.environ.items() if k != "LACONIC_FORCE_ISA"})
        self.assertEqual(self.ok("inspect", TINY_BERT, "--plan", env=os.environ | {"LACONIC_FORCE_ISA": ""}), plan)
        for name in ("avx9", "AVX2", " "):
            for command in (("predict", TINY_BERT, "--text", "a"), ("eval", TINY_BERT, "--data", self.texts()), ("bench", TINY_BERT),
                            ("inspect", TINY_BERT, "--plan")):
                self.fails(USAGE, *command, env=os.environ | {"LACONIC_FORCE_ISA": name},
                           says=(f"unknown kernel level '{name}', expected scalar, avx2, ", "in LACONIC_FORCE_ISA"))

    def test_isa_that_this_cpu_lacks(self):
        lacking = 0
        for name in ("avx2", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx"):
            environment = os.environ | {"LACONIC_FORCE_ISA": name}
            if support.run("predict", TINY_BERT, "--text", "a", env=environment).returncode == 0:
                report = self.ok("bench", TINY_BERT, "--length", 8, "--iterations", 1, "--json", "-", env=environment)
                self.assertEqual(json.loads(report)["isa"], name)
                continue
            lacking += 1
            for command in (("predict", TINY_BERT, "--text", "a"), ("eval", TINY_BERT, "--data", self.texts()), ("bench", TINY_BERT)):
                self.fails(UNSUPPORTED, *command, env=environment,
                           says=(f"lacks the kernel level '{name}'; expected one of scalar", "in LACONIC_FORCE_ISA"))
        if lacking == 0:
            self.skipTest("this CPU has every level")

    def test_precision(self):
        scalar = os.environ | {"LACONIC_FORCE_ISA": "scalar"}
        for command in (("predict", TINY_BERT, "--text", "a"), ("eval", TINY_BERT, "--data", self.texts()), ("bench", TINY_BERT),
                        ("compare", TINY_BERT, TINY_BERT, "--data", self.texts()), ("inspect", TINY_BERT, "--plan")):
            self.fails(USAGE, *command, "--precision", "fp8", says="precision: expected f32, bf16 or auto, got 'fp8'")
            self.fails(UNSUPPORTED, *command, "--precision", "bf16", env=scalar,
                       says="precision bf16: expected the level avx512_bf16 or above, got scalar")
            self.ok(*command, "--precision", "auto", env=scalar)
        self.fails(USAGE, "inspect", TINY_BERT, "--precision", "auto", says="--plan")

    def test_numbers_out_of_range(self):
        texts = self.texts()
        for flag, value in (("--threads", 0), ("--threads", -1), ("--batch", 0), ("--batch", "x"), ("--max-length", 0)):
            for command in ("predict", "eval", "bench"):
                self.fails(USAGE, command, TINY_BERT, "--data", texts, flag, value,
                           says=f"{flag}: expected a number over 0, got '{value}'")
        for value in (-1, "nan", "x"):
            self.fails(USAGE, "diff", TINY_BERT, TINY_BERT, "--data", texts, "--threshold", value,
                       says=f"--threshold: expected a number of at least 0, got '{value}'")
        self.fails(USAGE, "predict", TINY_BERT, "--data", texts, "--threads", 5000, says="1024")
        for command in ("predict", "eval"):
            self.fails(USAGE, command, TINY_BERT, "--data", texts, "--max-length", 129,
                       says="maximum length: expected 1 to 128 tokens, which is what the model allows, got 129")
            self.fails(USAGE, command, TINY_BERT, "--data", texts, "--max-length", 1, says="no room for 2 special tokens")
        for length in ("0", "129", "8-", "8-x", "20-10", "-3"):
            self.fails(USAGE, "bench", TINY_BERT, f"--length={length}", says="length")
        self.fails(USAGE, "bench", TINY_BERT, "--length", "8-100",
                   says="expected a batch of at least 2 to spread over lengths from 8 to 100, got 1")
        self.fails(USAGE, "bench", TINY_BERT, "--seed", -1, says="--seed: expected a number of at least 0, got '-1'")
        for flag in ("--iterations", "--warm-ups", "--seed"):
            self.fails(USAGE, "bench", TINY_BERT, flag, "9" * 20, says=f"{flag}: expected a number below 2^63, got '999")

    def test_threads_that_cannot_be_started(self):
        def limit_memory():
            resource.setrlimit(resource.RLIMIT_AS, (300 << 20,) * 2)  # room for some of the stacks
        if support.run("--version", preexec_fn=limit_memory).returncode != 0:
            self.skipTest("this build reserves more address space, as sanitizers do")
        self.fails(RESOURCE, "predict", TINY_BERT, "--text", "a", "--threads", 1000, says="cannot start 1000 threads",
                   preexec_fn=limit_memory)

    def test_options_that_would_do_nothing(self):
        texts, out = self.texts(), ("-o", self.folder / "out")
        data = ("--data", texts)
        refit = ("fit-head", TINY_BERT, *data, *out, "--teacher", TINY_BERT)
        merge = ("calibrate", "--merge", texts, *out)
        for arguments, says in (
                (("bench", TINY_BERT, "--max-length", 64), "--max-length requires --data"),
                (("bench", TINY_BERT, *data, "--length", 64), ("excludes", "--length")),
                (("bench", TINY_BERT, *data, "--seed", 1), ("excludes", "--seed")),
                (("bench", TINY_BERT, "--text-column", "text"), "--text-column requires --data"),
                (("certify", TINY_BERT, "--limit", 5), "--limit requires --data"),
                (("fit-head", TINY_BERT, *data, *out, "--penalty", 1), "--penalty requires --teacher"),
                ((*refit, "--l2", 1), ("--l2", "excludes")),
                ((*refit, "--seed", 1), ("--seed", "excludes")),
                ((*refit, "--validation", texts), ("--validation", "excludes")),
                ((*refit, "--label-column", "label"), ("--label-column", "excludes")),
                *(((*merge, flag, value), ("excludes", flag))
                  for flag, value in (("--qconfig", "x86"), ("--include", "*"), ("--exclude", "*"), ("--shard", "0/2")))):
            self.fails(USAGE, *arguments, says=says)
        for command in (("predict", TINY_BERT), ("bench", TINY_BERT), ("certify", TINY_BERT), ("diff", TINY_BERT, TINY_BERT),
                        ("calibrate", TINY_BERT, *out)):
            self.fails(USAGE, *command, *data, "--label-column", "label", says="--label-column")

    def test_opsets(self):
        for opset in (13, 24, 0, -1):
            self.fails(USAGE, "export", TINY_BERT, "-o", self.folder / "out.onnx", "--opset", opset,
                       says=f"expected an opset from 14 to 23, got {opset}")

    def test_what_must_be_given(self):
        for arguments, says in ((("quantize", TINY_BERT), "--output"), (("quantize", "-o", "x"), "MODEL"),
                                (("eval", TINY_BERT), "--data"), (("diff", TINY_BERT, TINY_BERT), "--data"),
                                (("compare", TINY_BERT, "--data", "x.csv"), "CANDIDATE"),
                                (("predict", TINY_BERT), "give either --data or --text"),
                                (("predict", TINY_BERT, "--text", "a", "--data", "x.csv"), "give either --data or --text")):
            self.fails(USAGE, *arguments, says=says)

    def test_models_that_do_not_fit_together(self):
        self.fails(USAGE, "compare", TINY_BERT, support.DATA / "tiny_electra", "--data", self.texts(),
                   says="has 2 labels that are not those of")

    def test_diff_of_outputs_that_cannot_be_compared(self):
        """Nothing may pass --fail-over that was not looked at."""
        model, data = self.copy_model(), self.texts()
        tensors = read_tensors(model / "model.safetensors")
        for name in ("classifier.weight", "classifier.bias"):
            dtype, (rows, *rest), values = tensors[name]
            tensors[name] = (dtype, [rows - 1, *rest], values[:len(values) // rows * (rows - 1)])
        write_tensors(model / "model.safetensors", tensors)
        support.edit_json(model / "config.json", id2label={"0": "a", "1": "b"})
        for other, says in ((model, "All tensors of equal shapes are equal."), (support.DATA / "tiny_electra", "No tensor to compare.")):
            arguments = ("diff", TINY_BERT, other, "--data", data)
            report = self.ok(*arguments)
            self.assertIn(says, report)
            self.assertNotIn("All tensors are equal", report)
            self.assertEqual(support.run(*arguments, "--fail-over", 1).returncode, 8)
        self.ok("diff", TINY_BERT, TINY_BERT, "--data", data, "--fail-over", 0)

    def test_overflow(self):
        out = ("-o", self.folder / "out")
        self.fails(USAGE, "quantize", TINY_BERT, *out, "--overflow", "some", says="--overflow")
        self.fails(USAGE, "quantize", TINY_BERT, *out, "--method", "fp16", "--overflow", "auto", says="got 'fp16'")
        self.fails(USAGE, "quantize", TINY_BERT, *out, "--overflow", "auto", "--calibration", "-", "--data-format", "json",
                   says="reads the calibration texts again")
        self.fails(USAGE, "certify", TINY_BERT, says="has no linear layer in 8 bits")

    def test_onnx_file_where_a_tokenizer_is_needed(self):
        path = self.folder / "model.onnx"
        self.ok("export", TINY_BERT, "-o", path)
        self.fails(USAGE, "predict", path, "--text", "a", says="brings no tokenizer")
        self.fails(USAGE, "diff", path, path, "--data", self.texts(), says="brings no tokenizer")

    def test_help_documents_the_exit_statuses(self):
        text = self.ok("--help")
        for line in ("2  wrong usage", "3  a malformed file", "4  something named is not there", "5  unsupported",
                     "6  the system refused", "7  out of memory or disk", "8  done, but a limit", "130  interrupted",
                     "LACONIC_FORCE_ISA="):
            self.assertIn(line, text)
        for command in ("quantize", "compare", "eval", "predict", "bench", "certify", "diff", "export", "fit-head", "inspect"):
            self.assertIn(f"laconic {command} ", self.ok(command, "--help"), "an example")
        self.assertIn("LACONIC_FORCE_ISA=", self.ok("bench", "--help"))


class Data(CliTest):
    def refused(self, status, name, content, *says, commands=("predict", "eval"), flags=()):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        for command in commands:
            out = ("-o", self.folder / "out.jsonl") if command == "predict" else ("--json", self.folder / "out.json")
            self.fails(status, command, TINY_BERT, "--data", path, *out, *flags, says=(str(path), *says))

    def test_labels_that_the_model_lacks(self):
        wrong = "text,label\na,positive\nb,lovely\n"
        self.refused(MALFORMED, "data.csv", wrong, "in row 2 (line 3)", "in column 'label'",
                     "the model has no label \"lovely\"; its 3 labels are 'negative', 'neutral', 'positive'", commands=("eval",))
        self.refused(MALFORMED, "data.csv", "text,label\na,3\n", "in row 1 (line 2)", "3", commands=("eval",))
        self.refused(MALFORMED, "data.jsonl", '{"text": "a", "label": ["positive", "lovely"]}\n', "row 1", "lovely",
                     commands=("eval",))
        self.fails(MALFORMED, "compare", TINY_BERT, TINY_BERT, "--data", self.folder / "data.csv", says="no label")

    def test_data_without_labels(self):
        self.refused(MALFORMED, "data.csv", "text\na\n", "label", commands=("eval",))
        self.refused(MALFORMED, "data.jsonl", '{"text": "a", "label": null}\n', "row 1", commands=("eval",))

    def test_data_without_texts(self):
        self.refused(MALFORMED, "data.csv", "words,label\na,positive\n", "'text'")
        self.refused(MALFORMED, "data.jsonl", '{"text": 7, "label": "positive"}\n', "row 1", "text")
        self.refused(MALFORMED, "data.jsonl", '{"label": "positive"}\n', "row 1", "text")
        self.refused(MALFORMED, "data.csv", "a,label\nb,positive\n", "column", "'c'", flags=("--text-column", "c"))

    def test_empty_data(self):
        for name, content in (("data.csv", ""), ("data.csv", "text,label\n"), ("data.jsonl", ""), ("data.json", "[]"),
                              ("data.csv", "\n\n\n"), ("data.csv", b"\xef\xbb\xbf")):
            self.refused(MALFORMED, name, content)

    def test_invalid_utf8(self):
        for name, content in (("data.csv", b"text,label\ngood,positive\nb\xe0\xa6d,positive\n"),
                              ("data.tsv", b"text\tlabel\ngood\tpositive\nb\xffd\tpositive\n"),
                              ("data.jsonl", b'{"text": "good", "label": 0}\n{"text": "b\xc3\x28d", "label": 0}\n'),
                              ("data.json", b'[{"text": "good", "label": 0}, {"text": "\xed\xa0\x80", "label": 0}]')):
            self.refused(MALFORMED, name, content, "UTF-8")
        message = self.fails(USAGE, "predict", TINY_BERT, "--text", os.fsdecode(b"ab\xff"))
        self.assertIn("the text is not UTF-8 at byte 2", message)

    def test_malformed_records(self):
        for name, content, says in (("data.csv", 'text,label\n"a,positive\n', "quote"),
                                    ("data.csv", "text,label\na,positive,more\n", "expected 2 fields"),
                                    ("data.csv", "text,text,label\na,b,positive\n", "text"),
                                    ("data.jsonl", '{"text": "a"\n', "row 1"),
                                    ("data.jsonl", '["a"]\n', "row 1"),
                                    ("data.json", '[{"text": "a", "label": 0}', "does not end"),
                                    ("data.jsonl", '{"text": ' + "[" * 100000, "nest")):
            self.refused(MALFORMED, name, content, says)

    def test_record_without_end(self):
        self.refused(MALFORMED, "data.csv", b'text\n"' + b"x" * (33 << 20), "the record is longer than 33554432 bytes",
                     commands=("predict",))

    def test_files_that_are_not_there_or_not_files(self):
        os.mkfifo(self.folder / "fifo.csv")
        os.symlink("/dev/zero", self.folder / "zero.csv")
        for name in ("folder.csv", "folder"):
            (self.folder / name).mkdir()
        for name, status, says in (("gone.csv", NOT_FOUND, "No such file"),
                                   ("fifo.csv", USAGE, "fifo.csv'; texts are piped into standard input, which is called -"),
                                   ("zero.csv", USAGE, "expected a regular file, got a device"),
                                   ("folder.csv", USAGE, "expected a regular file, got a directory"),
                                   ("folder", USAGE, "expected a regular file, got a directory"),
                                   ("gone", NOT_FOUND, "No such file"),
                                   ("texts", USAGE, "does not say its format")):
            (self.folder / "texts").touch()
            for command in ("predict", "eval", "bench"):
                self.fails(status, command, TINY_BERT, "--data", self.folder / name, says=(name, says))
        self.fails(NOT_FOUND, "predict", TINY_BERT, "--data", self.texts(), self.folder / "gone.csv", says="gone.csv")
        self.fails(USAGE, "predict", TINY_BERT, "--data", "-", says="format of standard input must be given")


class Outputs(CliTest):
    def setUp(self):
        super().setUp()
        self.model, self.data = self.copy_model(), self.texts()

    def commands(self, out):
        return (("quantize", self.model, "-o", out), ("export", self.model, "-o", out),
                ("predict", self.model, "--data", self.data, "-o", out),
                ("fit-head", self.model, "--data", self.data, "-o", out))

    def test_what_exists_is_kept(self):
        (self.folder / "file").write_text("precious")
        (self.folder / "directory").mkdir()
        (self.folder / "directory" / "file").write_text("precious")
        for name in ("file", "directory"):
            for command in self.commands(self.folder / name):
                self.fails(USAGE, *command, says=name)
        for command in self.commands(self.folder / "file"):
            if command[0] in ("quantize", "fit-head"):
                self.fails(USAGE, *command, "--force", says="a file of that name exists")
        for command in self.commands(self.folder / "directory"):
            if command[0] in ("export", "predict"):
                self.fails(USAGE, *command, "--force", says="not a regular file")

    def test_force_replaces_an_artifact_whole(self):
        out = self.folder / "out"
        self.ok("quantize", self.model, "-o", out)
        before = set(os.listdir(out))
        (out / "stale").write_text("old")
        self.ok("quantize", self.model, "-o", f"{out}/", "--force", "--method", "bf16")
        self.assertEqual(set(os.listdir(out)), before)
        self.assertIn("bf16", self.ok("inspect", out))
        self.assertEqual({path.name for path in self.folder.iterdir()}, {"model", "out", "texts.jsonl"})

    def test_force_does_not_replace_other_directories(self):
        """A slip of the hand must not cost a home directory."""
        for name in ("model", "home"):
            (self.folder / name).mkdir(exist_ok=True)
            (self.folder / name / "file").write_text("precious")
            for command in ("quantize", "fit-head"):
                self.fails(USAGE, command, TINY_BERT, "-o", self.folder / name, "--force",
                           *(("--data", self.data) if command == "fit-head" else ()), says=(name, "laconic.json"))
        (self.folder / "empty").mkdir()
        self.ok("quantize", TINY_BERT, "-o", self.folder / "empty", "--force")

    def test_force_replaces_a_file(self):
        for command in self.commands(self.folder / "out")[1:3]:
            (self.folder / "out").write_text("old")
            self.ok(*command, "--force")
            self.assertGreater((self.folder / "out").stat().st_size, 100)

    def test_external_data_needs_a_file(self):
        self.fails(USAGE, "export", self.model, "-o", "-", "--external-data", says="name a file", cwd=self.folder)

    def test_a_model_is_not_exported_over_itself(self):
        out = self.folder / "out"
        self.ok("quantize", self.model, "-o", out)
        before = (out / "model.onnx").read_bytes()
        self.fails(USAGE, "export", out, "-o", out / ".." / "out" / "model.onnx", "--force", says="part of the model")
        self.assertEqual((out / "model.onnx").read_bytes(), before)

    def test_places_that_are_not_there(self):
        for command in self.commands(self.folder / "gone" / "out"):
            self.fails(NOT_FOUND, *command, says="no directory")
        for command in self.commands(self.folder / ("x" * 300)):
            self.fails(IO, *command, says="File name too long")

    def test_output_that_cannot_be_written_is_told_before_any_work(self):
        """Before the model even, which is not there."""
        (self.folder / "file").write_text("precious")
        (self.folder / "home").mkdir()
        (self.folder / "home" / "file").write_text("precious")
        data = ("--data", self.data)
        for command, file_says, home_says in (
                (("quantize", "nothing"), "a file of that name exists", "laconic.json"),
                (("fit-head", "nothing", *data), "a file of that name exists", "laconic.json"),
                (("calibrate", "nothing", *data), "no model at", "not a regular file"),
                (("export", "nothing"), "no model at", "not a regular file")):
            self.fails(NOT_FOUND, *command, "-o", self.folder / "gone" / "out", says="no directory")
            self.fails(NOT_FOUND if "model" in file_says else USAGE, *command, "-o", self.folder / "file", "--force", says=file_says)
            self.fails(USAGE, *command, "-o", self.folder / "home", "--force", says=home_says)

    def test_json_that_cannot_be_written_is_told_before_any_work(self):
        self.ok("quantize", self.model, "-o", self.folder / "int8")
        for arguments in (("quantize", self.model, "-o", self.folder / "out"), ("eval", self.model, "--data", self.data),
                          ("compare", self.model, self.folder / "int8", "--data", self.data), ("bench", self.model),
                          ("fit-head", self.model, "--data", self.data, "-o", self.folder / "out")):
            self.fails(NOT_FOUND, *arguments, "--json", self.folder / "gone" / "x.json", says="no directory")
            self.fails(USAGE, *arguments, "--json", self.folder, says="not a regular file")

    def test_full_disk(self):
        """A limit on the size of files, which the system reports as it does a full disk."""
        for limit in (0, 1, 4096, 50000):
            for command in self.commands(self.folder / "out"):
                with self.subTest(limit=limit, command=command[0]):
                    size = 1000 if command[0] == "predict" else limit  # its output is small
                    self.fails(RESOURCE, *command, says="cannot write",
                               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (min(size, limit),) * 2))

    def test_full_device(self):
        with open("/dev/full", "wb") as full:
            for command in (("predict", self.model, "--data", self.data), ("inspect", self.model),
                            ("eval", self.model, "--data", self.data, "--json", "-"), ("--help",), ("--version",)):
                before = listing(self.folder)
                result = subprocess.run([support.LACONIC, *map(str, command)], stdout=full, stderr=subprocess.PIPE)
                self.assertEqual(result.returncode, RESOURCE, (command, result.stderr))
                self.assertIn(b"standard output: No space left", result.stderr.replace(b"'", b""))
                self.assertEqual(listing(self.folder), before)

    def test_closed_pipe(self):
        for command in (("predict", self.model, "--data", self.data), ("inspect", self.model, "--graph")):
            reader, writer = os.pipe()
            os.close(reader)
            result = subprocess.run([support.LACONIC, *map(str, command)], stdout=writer, stderr=subprocess.PIPE)
            os.close(writer)
            self.assertEqual(result.returncode, IO, result.stderr)
            self.assertIn(b"Broken pipe", result.stderr)

    def test_closed_output(self):
        result = support.run("predict", self.model, "--data", self.data, preexec_fn=lambda: os.close(1))
        self.assertEqual(result.returncode, IO, result.stderr)
        self.assertIn(b"standard output: Bad file descriptor", result.stderr.replace(b"'", b""))


class Interruption(CliTest):
    """Ctrl-C: the process is stopped in the middle of its work, so that the signal surely meets it there."""

    def start(self, *arguments, **options):
        process = subprocess.Popen([support.LACONIC, *map(str, arguments)], stderr=subprocess.PIPE, **options)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def interrupt(self, process, sent=signal.SIGINT):
        """Whether the process was still at work, and then ended as it should."""
        process.send_signal(sent)
        process.send_signal(signal.SIGCONT)
        message = process.stderr.read().decode()
        status = process.wait(timeout=60)
        self.assertIn(status, (0, INTERRUPTED), message)
        if status == INTERRUPTED:
            self.assertIn("interrupted", message)
        return status == INTERRUPTED

    def wide_model(self):
        """Takes long enough to write that it can be caught at it."""
        model, words, width = self.copy_model(), 300000, 32
        tensors = read_tensors(model / "model.safetensors")
        tensors["bert.embeddings.word_embeddings.weight"] = ("F32", [words, width], b"\x00\x00\x80\x3f" * (words * width))
        write_tensors(model / "model.safetensors", tensors)
        support.edit_json(model / "config.json", vocab_size=words)
        return model

    def test_while_it_writes(self):
        model = self.wide_model()
        for sent, command in ((signal.SIGINT, "quantize"), (signal.SIGTERM, "quantize"), (signal.SIGHUP, "quantize"),
                              (signal.SIGINT, "export")):
            for attempt in range(20):
                before = listing(self.folder)
                process = self.start(command, model, "-o", self.folder / f"out{command}{sent}{attempt}",
                                     preexec_fn=lambda: signal.signal(sent, signal.SIG_DFL))  # under nohup too
                while not any(path.name.startswith(".out") for path in self.folder.iterdir()):
                    self.assertIsNone(process.poll() or None, "it failed")
                    if process.poll() is not None:
                        break
                process.send_signal(signal.SIGSTOP)
                if self.interrupt(process, sent):
                    self.assertEqual(listing(self.folder), before)
                    break
            else:
                self.fail("20 attempts came too late")

    def test_the_second_signal_ends_it_at_once_and_leaves_nothing(self):
        process = self.start("predict", TINY_BERT, "--data", "-", "--data-format", "json", "-o", self.folder / "out",
                             stdin=subprocess.PIPE)
        self.addCleanup(process.stdin.close)
        while not list(self.folder.iterdir()):  # the staging file: signals are handled by now
            self.assertIsNone(process.poll())
        process.send_signal(signal.SIGSTOP)
        for sent in (signal.SIGINT, signal.SIGTERM):  # two of one kind would arrive as one
            process.send_signal(sent)
        process.send_signal(signal.SIGCONT)
        self.assertIn(process.wait(timeout=60), (-signal.SIGINT, -signal.SIGTERM))
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_while_it_computes(self):
        data = write_jsonl(self.folder / "many.jsonl", [{"text": "ra manedafi " * 40, "label": label} for label in (0, 1)] * 10000)
        for command in (("predict", TINY_BERT, "--data", data, "-o", self.folder / "out"),
                        ("compare", TINY_BERT, TINY_BERT, "--data", data, "--json", self.folder / "out"),
                        ("eval", TINY_BERT, "--data", data, "--json", self.folder / "out"),
                        ("fit-head", TINY_BERT, "--data", data, "-o", self.folder / "out")):
            before = listing(self.folder)
            process = self.start(*command, "--threads", "1", stdout=subprocess.DEVNULL)
            time.sleep(0.3)
            self.assertTrue(self.interrupt(process), command)
            self.assertEqual(listing(self.folder), before)

    def test_while_nobody_reads_its_output(self):
        data = write_jsonl(self.folder / "many.jsonl", [{"text": "ra manedafi"}] * 5000)
        predict = ("predict", TINY_BERT, "--data", data, "--threads")
        for command in ((*predict, 1), (*predict, 2), ("export", self.wide_model(), "-o", "-")):  # more at once than fits
            process = self.start(*command, stdout=subprocess.PIPE)
            self.addCleanup(process.stdout.close)
            waiting = 0
            while waiting < 50000:  # of the 65,536 bytes that a pipe holds
                self.assertIsNone(process.poll())
                waiting = int.from_bytes(fcntl.ioctl(process.stdout, termios.FIONREAD, bytes(4)), sys.byteorder)
            time.sleep(0.2)
            self.assertTrue(self.interrupt(process), command)

    def test_while_it_waits_for_standard_input(self):
        process = self.start("predict", TINY_BERT, "--data", "-", "--data-format", "json", "--batch", "1",
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.stdout.close)
        process.stdin.write(b'{"text": "a"}\n{"text": "b"}\n')
        process.stdin.flush()
        self.assertTrue(select.select([process.stdout], [], [], 30)[0], "the first answer")
        time.sleep(0.3)  # by now it waits for more
        self.assertTrue(self.interrupt(process))


class Calibration(CliTest):
    def test_bad_calibrations(self):
        data, out = self.texts(), ("-o", self.folder / "out")
        made = (TINY_BERT, "--data", data)
        (self.folder / "bad.json").write_text('{"activations": {"observer": "mode"}}')
        (self.folder / "table").write_text("{}")
        empty = self.folder / "empty.jsonl"
        empty.write_text("")
        for status, arguments, says in (
                (USAGE, (), "expected MODEL and --data, or --merge"),
                (USAGE, (TINY_BERT,), "expected MODEL and --data, or --merge"),
                (USAGE, (*made, "--merge", self.folder / "table"), "neither MODEL nor --data"),
                (USAGE, (*made, "--shard", "2/2"), "expected a shard from 0 to 1, got 2"),
                (USAGE, (*made, "--shard", "1"), "expected i/n"),
                (USAGE, (*made, "--shard", "1/0"), "expected i/n"),
                (USAGE, (*made, "--shard", "0/99999999999999999999"), "expected i/n"),
                (USAGE, (*made, "--shard", "21/22"), "no text to calibrate with: shard 21/22 of 20 texts"),
                (USAGE, (*made, "--shard", "0/2", "--qconfig", "fbgemm"), "cannot be sharded"),
                (USAGE, (*made, "--include", "*lstm*"), "no layer matches '*lstm*'"),
                (MALFORMED, (TINY_BERT, "--data", empty), "empty.jsonl"),
                (NOT_FOUND, (*made, "--qconfig", "tflite"), "no file 'tflite', and no preset of that name; presets: laconic, "),
                (MALFORMED, (*made, "--qconfig", self.folder / "bad.json"), "expected one of minmax, percentile"),
                (MALFORMED, ("--merge", self.folder / "table"), "schema_version")):
            self.fails(status, "calibrate", *arguments, *out, says=says)

    def test_activations_that_are_not_finite(self):
        model = self.copy_model()
        path = model / "model.safetensors"
        tensors = read_tensors(path)
        name = "bert.embeddings.word_embeddings.weight"
        dtype, shape, values = tensors[name]
        word = 20  # of the vocabulary
        row = len(values) // shape[0]
        nan = b"\x00\x00\xc0\x7f" * shape[1]
        tensors[name] = (dtype, shape, values[:word * row] + nan + values[(word + 1) * row:])
        write_tensors(path, tensors)
        token = (model / "vocab.txt").read_text(encoding="utf-8").split("\n")[word]
        fine = (model / "vocab.txt").read_text(encoding="utf-8").split("\n")[word + 1]
        data = write_jsonl(self.folder / "texts.jsonl", [{"text": fine}, {"text": fine}, {"text": token}, {"text": fine}])
        self.fails(USAGE, "calibrate", model, "--data", data, "-o", self.folder / "out",
                   says=("'bert.embeddings", "is not finite on text 3"))

    def check_interrupted(self, model, num_texts, seconds):
        """A calibration that is interrupted after so many seconds and run again makes the table of one that was not."""
        data = write_jsonl(self.folder / "texts.jsonl", [{"text": f"{i} ba to mu be {i * i}"} for i in range(num_texts)])
        out, whole = self.folder / "out", self.folder / "whole"
        self.ok("calibrate", model, "--data", data, "-o", whole)
        before = set(listing(self.folder))
        process = subprocess.Popen([support.LACONIC, "calibrate", model, "--data", data, "-o", out],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        process.communicate()
        if process.returncode == 0:
            self.skipTest("this machine was too fast")
        self.assertEqual(process.returncode, INTERRUPTED)
        self.assertFalse(out.exists())
        self.ok("calibrate", model, "--data", data, "-o", out)
        self.assertEqual(out.read_bytes(), whole.read_bytes())
        self.assertEqual(set(listing(self.folder)), before | {"out"})

    def test_an_interrupted_calibration_goes_on(self):
        self.check_interrupted(TINY_BERT, num_texts=20000, seconds=0.3)

    def test_an_interrupted_calibration_op_by_op_goes_on(self):
        """Such a model is interrupted within a text, when the table has some of the texts that run together."""
        model = self.copy_model()
        self.ok("export", model, "-o", model / "model.onnx")
        planned = (model / "model.onnx").read_bytes()
        (model / "model.onnx").write_bytes(planned.replace(b"Tanh", b"Atan"))  # which no kernel runs
        self.check_interrupted(model / "model.onnx", num_texts=5000, seconds=0.7)

    def test_an_interrupted_calibration_of_something_else(self):
        out, partial = self.folder / "out", self.folder / "out.partial"
        self.ok("calibrate", TINY_BERT, "--data", self.texts(20), "-o", partial)
        edit_json(partial, rows=20)
        data = write_jsonl(self.folder / "other.jsonl", [{"text": "to be"}] * 30)
        self.fails(USAGE, "calibrate", TINY_BERT, "--data", data, "-o", out,
                   says=f"to start anew, remove '{partial}' or give --force\n")
        self.fails(NOT_FOUND, "calibrate", "gone", "--data", data, "-o", out, "--force", says="no model at")
        self.ok("calibrate", TINY_BERT, "--data", data, "-o", out, "--force")
        self.assertEqual(json.loads(out.read_text())["parts"][0]["texts"], 30)
        self.assertFalse(partial.exists())

    def test_a_table_that_cannot_be_written_leaves_the_interrupted_one(self):
        rows = "".join(json.dumps({"text": f"ba {i}"}) + "\n" for i in range(20)).encode()
        out, partial = self.folder / "out", self.folder / "out.partial"

        def start():
            process = subprocess.Popen([support.LACONIC, "calibrate", TINY_BERT, "--data", "-", "--data-format", "json", "--batch",
                                        "1", "-o", out], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            process.stdin.write(rows)
            process.stdin.flush()
            time.sleep(0.5)  # the first texts run; then it waits for more
            return process

        process = start()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)  # with standard input still open
        process.communicate()
        if not partial.exists():
            self.skipTest("this machine was too slow")
        process = start()
        out.write_text("precious")
        _, message = process.communicate(timeout=60)
        self.assertEqual(process.returncode, USAGE, message)
        self.assertTrue(partial.exists())
        self.assertEqual(out.read_text(), "precious")
        out.unlink()
        self.ok("calibrate", TINY_BERT, "--data", "-", "--data-format", "json", "--batch", 1, "-o", out, input=rows)
        self.assertEqual(list(self.folder.iterdir()), [out])


if __name__ == "__main__":
    support.main()
