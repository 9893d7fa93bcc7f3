"""Tests of benchmarks/: exact lengths, work and bounds against published counts, one small run, the page from its result.

Exits with 77 (skipped) where a package that benchmarks/ needs is not installed.
"""
import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock
from pathlib import Path

import support
from support import ROOT, TINY_BERT, write_texts

sys.path.insert(0, str(ROOT / "benchmarks"))
with support.skip_without_packages():
    import numpy as np
    import bench
    import compare
    import contenders
    import lower_onnxruntime
    import render_page
    import worker
    import workloads as w

EXAMPLES = [row for row in support.examples("tiny_bert") if row["text"].strip()]
SENTENCES = [row["text"] for row in EXAMPLES]
BERT_BASE = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "id2label": {"0": "a", "1": "b"}}
PEAKS = {"gops": {"f32_avx2": {"1": 100.0}, "int8_avx2": {"1": 200.0}, "f32_avx512": {"1": 116.0}, "bf16_avx512": {"1": 234.0},
                  "int8_avx512_vnni": {"1": 470.0}, "int8_amx": {"1": 5050.0}, "bf16_amx": {"1": 2500.0}},
         "bandwidth_gb_s": {"86": {"1": 98.0}, "342": {"1": 26.0}}}


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


class Workloads(unittest.TestCase):
    def test_texts_have_the_lengths_they_should(self):
        with tempfile.TemporaryDirectory() as folder:
            for workload in w.make_workloads(TINY_BERT, SENTENCES, Path(folder), w.LENGTHS):
                self.assertEqual(workload.lengths, w.LENGTHS[workload.name])
                tokenizer = w.read_tokenizer(TINY_BERT)
                texts = w.read_texts(workload.path)
                self.assertEqual([tokenizer.encode(text).ids for text in texts], workload.ids)

    def test_texts_are_read_from_each_format(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, content in {"a.jsonl": '{"text": "one, two"}\n\n{"text": "three"}\n', "a.csv": 'label,text\n0,"one, two"\n1,three\n',
                                  "a.tsv": "\ufeffsentence\tlabel\none, two\t0\nthree\t1\n",
                                  "a.json": '[{"text": "one, two"},\n {"text": "three"}]'}.items():
                path = Path(folder) / name
                path.write_text(content, encoding="utf-8")
                self.assertEqual(w.read_texts(path), ["one, two", "three"])
            path = write_texts(Path(folder) / "b.jsonl", [{"text": "a\u2028b"}])
            path.write_text(path.read_text(encoding="utf-8").replace("\\u2028", "\u2028"), encoding="utf-8")  # as others write it
            self.assertEqual(w.read_texts(path), ["a\u2028b"])
        self.assertEqual(len(w.read_texts(ROOT / "examples/nlupp_banking/test.json")), 204)

    def test_a_missing_file_is_named_with_its_option(self):
        for option in ("--texts", "--calibration", "--models"):
            options = {"--texts": TINY_BERT / "config.json", "--calibration": TINY_BERT / "config.json", "--models": TINY_BERT}
            options[option] = "/nowhere"
            run = subprocess.run([sys.executable, ROOT / "benchmarks/bench.py", *(str(x) for pair in options.items() for x in pair)],
                                 check=False, capture_output=True, text=True)
            self.assertEqual(run.returncode, 1)
            self.assertRegex(run.stderr, f"^/nowhere is missing; name another with {option}")

    def test_work_is_that_of_the_layers(self):
        """BERT-base's encoder has 85,054,464 parameters; 84,934,656 of them are weights of linear layers."""
        work = w.count_work(BERT_BASE, [128], rows_read=False)
        encoder, pooler = 84_934_656, 768 * 768 + 768 * 2
        self.assertEqual(work.weights, encoder + pooler)
        self.assertEqual(work.gemm_ops, 2 * (128 * encoder + pooler))
        self.assertEqual(work.attention_ops, 12 * 12 * 2 * (2 * 128 * 128 * 64))  # layers, heads, two products
        read = w.count_work(BERT_BASE, [128])
        saved = 127 * (2 * 768 * 768 + 2 * 768 * 3072)  # of the last layer: queries, output, feed-forward
        self.assertEqual(work.gemm_ops - read.gemm_ops, 2 * saved)
        self.assertEqual(work.attention_ops - read.attention_ops, 12 * 2 * (2 * 127 * 128 * 64))
        both = w.count_work(BERT_BASE, [16, 128], rows_read=False)  # texts do not attend to each other
        self.assertEqual(both.attention_ops, 4 * 768 * 12 * (16 * 16 + 128 * 128))

    def test_bounds(self):
        """With the peaks of a Zen 4 the bound of BERT-base 1x128 is 49 ms; one token is bound by memory."""
        work = w.count_work(BERT_BASE, [128], rows_read=False)
        bound, gemm = w.bound_ms(work, PEAKS, "avx512_vnni", 1, "int8", "float")
        self.assertAlmostEqual(bound, 49.0, delta=0.2)
        self.assertAlmostEqual(gemm, bound - 0.604 / 234 * 1e3, delta=0.01)
        with_attention, _ = w.bound_ms(work, PEAKS, "avx512_vnni", 1, "int8", "int8")
        self.assertAlmostEqual(with_attention, gemm + 0.604 / 470 * 1e3, delta=0.01)
        one, _ = w.bound_ms(w.count_work(BERT_BASE, [1]), PEAKS, "amx", 1, "int8", "float")
        self.assertAlmostEqual(one, 85.5 / 98, delta=0.01)
        floats, _ = w.bound_ms(work, PEAKS, "avx512_vnni", 1, "f32", "f32")  # no bf16 for the FP32 model
        self.assertAlmostEqual(floats, (work.gemm_ops + work.attention_ops) / 116e6, places=6)
        rounded, _ = w.bound_ms(work, PEAKS, "avx512_bf16", 1, "bf16", "float")
        self.assertAlmostEqual(rounded, (work.gemm_ops + work.attention_ops) / 234e6, places=6)


class Ways(unittest.TestCase):
    """How peers run a batch."""

    def test_each_way_has_each_text_once(self):
        ragged = bench.peers.ways([8, 64, 16, 32, 24], num_streams=2)
        self.assertEqual([way.name for way in ragged], ["whole", "fours", "singly", "fours, 2 streams", "singly, 2 streams"])
        for way in ragged:
            self.assertEqual(sorted(i for group in way.groups for i in group), [0, 1, 2, 3, 4])
        self.assertEqual(ragged[0].groups, [[0, 1, 2, 3, 4]])
        self.assertEqual(ragged[1].groups, [[1, 3, 4, 2], [0]])
        self.assertEqual([way.num_streams for way in ragged], [1, 1, 1, 2, 2])
        self.assertEqual([way.name for way in bench.peers.ways([8, 16])], ["whole", "fours", "singly"])
        self.assertEqual([way.name for way in bench.peers.ways([8, 8])], ["whole"])
        self.assertEqual([way.name for way in bench.peers.ways([8], num_streams=2)], ["whole"])

    def test_each_way_answers_alike_and_the_fastest_is_chosen(self):
        """Of a stand-in whose logits are the first ids, and which takes a millisecond for each id of the padded batch."""
        def load(_key, _path, _threads, num_streams):
            def bind(ids):
                def run():
                    time.sleep(len(ids) * max(map(len, ids)) * (10 if num_streams > 1 else 1) / 1e3)
                    return np.array([[row[0], 0.5] for row in ids])
                return run
            return bind

        ids = [[7, 1], [8] * 40, [9, 1, 1], [6]]
        with unittest.mock.patch.object(bench.peers, "module_of", lambda _: argparse.Namespace(load=load)):
            runner = worker.Runner("ort_f32", None, 2)
            for way in bench.peers.ways(list(map(len, ids)), 2):
                self.assertEqual(runner.bind(ids, way)().tolist(), [[7, 0.5], [8, 0.5], [9, 0.5], [6, 0.5]])
            self.assertEqual(runner.fastest(ids).name, "singly")
            self.assertEqual(runner.fastest(ids[:1]).name, "whole")

    def test_serving_imports_nothing_for_making(self):
        code = ("import sys, worker, peers; peers.module_of('ort_dynamic')\n"
                "print(*({'onnx', 'tokenizers', 'workloads', 'onnxruntime.quantization'} & sys.modules.keys()))")
        printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "benchmarks", check=True, stdout=subprocess.PIPE, text=True).stdout
        self.assertEqual(printed, "\n")


class Results(unittest.TestCase):
    def test_a_run_can_be_identified(self):
        machine = bench.machine()
        self.assertTrue(all(isinstance(machine[name], int) for name in ("family", "model", "stepping")), machine)
        self.assertLessEqual(set(machine["instructions"]) & {"avx2"}, set(machine["flags"]))
        with unittest.mock.patch.object(sys, "argv", ["/a/bench.py", "--models", "/b/c/m", "demo/n", "--json=/d/x.json", "--note", "a / b"]):
            self.assertEqual(bench.command(), "bench.py --models m demo/n --json=x.json --note 'a / b'")
        self.assertRegex(" ".join(bench.compilers()), "GCC|clang")

    def test_ratios_are_to_the_fastest_peer_of_the_kind(self):
        row = {key: {"median_ms": ms} for key, ms in
               {"laconic_f32": 10.0, "laconic_dynamic": 4.0, "ort_f32": 12.0, "ort_dynamic": 8.0, "ct2_int8": 6.0}.items()}
        work = w.count_work(BERT_BASE, [1])
        bench.add_ratios(row, {"bound": work, "bound_all_rows": work}, PEAKS, "avx512_vnni", 1)
        self.assertEqual((row["laconic_f32"]["ratio"], row["laconic_f32"]["fastest_peer"]), (1.2, "ort_f32"))
        self.assertEqual((row["laconic_dynamic"]["ratio"], row["laconic_dynamic"]["fastest_peer"]), (1.5, "ct2_int8"))
        self.assertNotIn("ratio", row["ct2_int8"])
        self.assertEqual(row["laconic_dynamic"]["share_of_bound"], round(w.bound_ms(work, PEAKS, "avx512_vnni", 1, "int8", "float")[0] / 4, 3))

    def test_merge_puts_parts_together(self):
        first = {"model": "m", "threads": 1, "isa": "avx2", "contenders": ["a"], "latency": 1}
        other = first | {"threads": 2}
        start = {key: value for key, value in first.items() if key != "latency"} | {"start": 2}
        self.assertEqual(bench.merge([first, other], start), [other, first | {"start": 2}])

    def test_a_small_run_and_its_page(self):
        """Ours and ONNX Runtime on a tiny model: every part measured, answers that agree, tables that say so."""
        with tempfile.TemporaryDirectory() as folder:
            bench.WORK = Path(folder)
            data = write_texts(Path(folder) / "texts.jsonl", EXAMPLES)
            args = argparse.Namespace(texts=data, workloads=["1x16", "16 of 8-128", "1x128"], parts=bench.PARTS, rounds=1, seconds=0.01, isa=None)
            paths = bench.prepare(TINY_BERT, ["laconic_dynamic", "laconic_dynamic_attention", "laconic_static", "ort_f32"], SENTENCES)
            section = bench.measure(TINY_BERT, paths, 1, args, PEAKS)
        self.assertEqual(list(section["latency"]), ["1x16", "16 of 8-128", "1x128"])
        self.assertEqual(section["latency"]["1x128"]["ort_f32"]["way"], "whole")
        self.assertIn(section["latency"]["16 of 8-128"]["ort_f32"]["way"], ["whole", "fours", "singly"])
        for row in section["latency"].values():
            self.assertEqual(list(row), ["laconic_dynamic", "laconic_dynamic_attention", "laconic_static", "ort_f32"])
            self.assertTrue(all(cell["median_ms"] > 0 for cell in row.values()))
            self.assertEqual(row["laconic_static"]["fastest_peer"], "ort_f32")
        self.assertEqual(section["difference"]["laconic_dynamic"], 0)
        self.assertLess(section["difference"]["ort_f32"], 0.05)  # of INT8 from FP32, as probabilities
        self.assertTrue(all(cell["first_answer_ms"] > 0 and cell["peak_mb"] > 1 for cell in section["start"].values()))
        self.assertTrue(all(0 < cell["tokenizing_share"] < 1 and cell["texts_per_s"] > 0 for cell in section["texts"].values()))
        result = {"machine": {"cpu": "C", "cores": 2, "system": "S", "instructions": ["avx2"]}, "commit": "abc", "laconic": "l", "note": "Alone.",
                  "versions": {"onnxruntime": "1"}, "peaks": PEAKS, "measured": [section]}
        text = render_page.render(result)
        self.assertIn("onnxruntime 1. Alone.", text)
        identified = result | {"machine": result["machine"] | {"family": 6, "model": 7, "stepping": 8}, "compilers": ["GCC 1"], "commands": ["bench.py -x"]}
        self.assertIn("2 cores of C, family 6, model 7, stepping 8 (avx2), S; l at abc by GCC 1; ", render_page.render(identified))
        self.assertIn("\n\n`bench.py -x`\n\n", render_page.render(identified))
        for cell in section["latency"]["1x16"].values():
            self.assertIn(render_page.milliseconds(cell["median_ms"]), text)
        self.assertIn(f"{section['latency']['1x128']['laconic_dynamic']['ratio']:.2f} (ONNX Runtime FP32)", text)
        rows = compare.compare_results(result, json.loads(json.dumps(result)))
        self.assertEqual(len(rows), 3 * len(paths))
        section["latency"]["16 of 8-128"]["ort_f32"] |= {"median_ms": 3, "p10_ms": 2, "p90_ms": 4, "way": "fours, 2 streams"}
        self.assertIn("3.00 (2.00–4.00, fours, 2 streams)", render_page.render(result).replace("**", ""))
        self.assertTrue(all(ratio == 1 and low <= 1 <= high for *_, ratio, low, high in rows))

    def test_results_are_compared_by_model_threads_and_level(self):
        """Whatever else was measured in the same run; what has no partner is named."""
        def cell(ms):
            return {"median_ms": ms, "p10_ms": ms, "p90_ms": ms}

        def section(latency, **more):
            return {"model": "m", "threads": 1, "isa": "avx2", "contenders": sorted({key for row in latency.values() for key in row}),
                    "latency": latency} | more

        old = {"measured": [section({"1x16": {"laconic_dynamic": cell(4), "ort_dynamic": cell(6)}, "1x128": {"laconic_dynamic": cell(40)}}),
                            section({"1x16": {"laconic_f32": cell(8)}}), section({"1x16": {"laconic_dynamic": cell(3)}}, threads=2)]}
        new = {"measured": [section({"1x16": {"laconic_dynamic": cell(2)}}), section({"1x16": {"laconic_dynamic": cell(1)}}, isa="amx"),
                            section({"1x16": {"laconic_f32": cell(4)}, "1x128": {"laconic_f32": cell(30)}})]}
        self.assertEqual([row[:6] for row in compare.compare_results(old, new)],
                         [("m, 1 thread(s), avx2", "1x16", "laconic_dynamic", 4, 2, 2), ("m, 1 thread(s), avx2", "1x16", "laconic_f32", 8, 4, 2)])
        self.assertEqual(compare.without_partner(old, new), ["m, 1 thread(s), avx2: laconic dynamic INT8 at 1x128",
                                                             "m, 1 thread(s), avx2: ONNX Runtime dynamic INT8", "m, 2 thread(s), avx2"])
        self.assertEqual(compare.without_partner(new, old), ["m, 1 thread(s), avx2: laconic FP32 at 1x128", "m, 1 thread(s), amx"])
        with tempfile.TemporaryDirectory() as folder:
            paths = {name: Path(folder) / f"{name}.json" for name in ("old", "new", "other")}
            for name, result in (("old", old), ("new", new), ("other", {"measured": new["measured"][1:2]})):
                paths[name].write_text(json.dumps(result), encoding="utf-8")
            self.assertIn(f"only in {paths['old']}: m, 2 thread(s), avx2\n", self.compared(paths["old"], paths["new"]).stdout)
            nothing = self.compared(paths["old"], paths["other"], returncode=1)
            self.assertIn(f"only in {paths['other']}: m, 1 thread(s), amx\n", nothing.stdout)
            self.assertIn("in common", nothing.stderr)
            self.assertNotIn("old ms", nothing.stdout)

    def test_what_is_compared_is_checked_before_anything_is_built(self):
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder) / "result.json"
            for content, says in ((None, "No such file"), ("{", "Expecting property name"), ("[]", "is no result of bench.py")):
                if content is not None:
                    result.write_text(content, encoding="utf-8")
                self.assertIn(says, self.compared(result, result, returncode=1).stderr)
            self.assertIn("is compared with a result", self.compared(result, contenders.LACONIC, returncode=1).stderr)
            with unittest.mock.patch.object(compare, "build") as build, \
                    self.assertRaisesRegex(SystemExit, "^no-such-commit is neither a commit, nor an executable"):
                compare.compare_commits(contenders.LACONIC, "no-such-commit", argparse.Namespace())
            build.assert_not_called()

    def compared(self, old, new, returncode=0):
        run = subprocess.run([sys.executable, ROOT / "benchmarks/compare.py", old, new], check=False, capture_output=True, text=True)
        self.assertEqual(run.returncode, returncode, run.stderr)
        self.assertNotIn("Traceback", run.stderr)
        return run

    def test_weights_of_every_form_are_told_apart(self):
        for name in ("pytorch_model.bin", "model-00001-of-00002.safetensors", "model.onnx.data"):
            with tempfile.TemporaryDirectory() as folder:
                source = bench.peers.Source(Path(folder), Path(folder))
                records = set()
                for content in ("a", "bc"):
                    (source.model / name).write_text(content, encoding="utf-8")
                    self.assertEqual(contenders.prepare("laconic_f32", source), source.model)
                    records.add((source.folder / "laconic_f32.json").read_text(encoding="utf-8"))
                self.assertEqual(len(records), 2, name)

    def test_commits_are_compared_by_the_models_that_are_benchmarked(self):
        """Of each of ours: the same files and precision; and they are what their names say."""
        keys = list(contenders.OURS)
        with tempfile.TemporaryDirectory() as folder, unittest.mock.patch.object(bench, "WORK", Path(folder) / "bench"), \
                unittest.mock.patch.object(compare, "FOLDER", Path(folder) / "compare"), \
                unittest.mock.patch.object(bench, "take_turns", return_value={"old": [1.0], "new": [1.0]}) as take_turns:
            texts = write_texts(Path(folder) / "texts.jsonl", EXAMPLES)
            benchmarked = bench.make_contenders(bench.prepare(TINY_BERT, keys, SENTENCES), 1, None, False)
            args = argparse.Namespace(models=[TINY_BERT], contenders=keys, workloads=["1x16"], threads=[1], isa=None, rounds=1,
                                      seconds=0.01, calibration=texts)
            compare.compare_commits(contenders.LACONIC, contenders.LACONIC, args)
            for key, call in zip(keys, take_turns.call_args_list, strict=True):
                for compared in call.args[0].values():
                    self.assertEqual(compared.precision, benchmarked[key].precision, key)
                    self.assertEqual(digests(compared.path), digests(benchmarked[key].path), key)
            made = {key: json.loads((x.path / "laconic.json").read_text(encoding="utf-8")) for key, x in benchmarked.items()
                    if x.path != TINY_BERT}
        self.assertEqual({key: (x["method"], x["recipe"]["qconfig"]["int8_attention"]) for key, x in made.items()}, {
            "laconic_dynamic": ("dynamic", False), "laconic_static": ("static", False),
            "laconic_dynamic_attention": ("dynamic", True), "laconic_dynamic_bf16": ("dynamic", False)})
        self.assertEqual({key: x.precision for key, x in benchmarked.items() if x.precision != "f32"},
                         {"laconic_bf16": "bf16", "laconic_dynamic_bf16": "bf16"})

    def test_a_missing_package_is_named(self):
        with self.assertRaises(Exception) as raised:
            bench.peers.PEERS["none"] = bench.peers.Description("None", "none", ("no-such-package",))
            bench.peers.versions("none")
        del bench.peers.PEERS["none"]
        self.assertEqual(raised.exception.name, "no-such-package")


class LoweredOnnxRuntime(unittest.TestCase):
    def test_it_runs_the_kernels_of_avx2(self):
        """vpmaddubsw saturates each sum of two products, which neither AVX-512 VNNI, AVX-VNNI nor AMX do."""
        with tempfile.TemporaryDirectory() as folder:
            lower_onnxruntime.write(folder)
            path = os.pathsep.join([folder, str(ROOT / "tools" / "onnx")])
            printed = subprocess.run([sys.executable, "-c", "import exact_session; print(exact_session.largest_sum())"],
                                     env=os.environ | {"PYTHONPATH": path}, check=True, stdout=subprocess.PIPE,
                                     text=True).stdout
        self.assertEqual(int(printed), 32 * 32767)

    def test_unknown_machine_code_is_refused(self):
        anchor = b"\x81\xe2\0\0\x02\xc0"
        tests = [b"\x0f\xa2\xa8\x10\x74", b"\xf7\xc2\0\0\x01\0\x74", b"\xf6\xc2\x10\x74", b"\x81\xe1\0\0\0\x03\x0f\x85"]
        lowered = lower_onnxruntime.lower(anchor + b"".join(tests))
        self.assertEqual(lowered, anchor + b"\x0f\xa2\xa8\0\x74" b"\xf7\xc2\0\0\0\0\x74" b"\xf6\xc2\0\x74"
                         b"\x81\xc9\0\0\0\x03\x0f\x85")
        with self.assertRaisesRegex(ValueError, "AVX-512 BW, DQ and VL .* got 0"):
            lower_onnxruntime.lower(b"".join(tests))
        for i, name in enumerate(["AVX-VNNI", "AVX-512 F", "AVX-VNNI-INT8", "AMX"]):
            for count in (0, 2):
                with self.assertRaisesRegex(ValueError, f"{name} .* got {count}"):
                    lower_onnxruntime.lower(anchor + b"".join(t * (count if j == i else 1) for j, t in enumerate(tests)))


def setUpModule():
    contenders.LACONIC = support.LACONIC


if __name__ == "__main__":
    support.main()
