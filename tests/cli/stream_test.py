"""Tests how predict streams: in order, at once, at bounded memory, as far as an error: stream_test.py LACONIC"""
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import support  # noqa: E402
from support import INTERRUPTED, MALFORMED, TINY_BERT, CliTest, examples, write_jsonl  # noqa: E402


def mixed_texts(num):
    """Texts of all lengths in no order."""
    words = [word for row in examples("tiny_bert") for word in row["text"].split()]
    choose = random.Random(3)
    return [{"text": " ".join(choose.choices(words, k=choose.randrange(40)))} for _ in range(num)]


class Stream(CliTest):
    def start(self, *arguments):
        command = [support.LACONIC, "predict", TINY_BERT, "--data", "-", "--data-format", "json", *map(str, arguments)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    @staticmethod
    def send(process, rows):
        process.stdin.write("".join(json.dumps(row) + "\n" for row in rows).encode())
        process.stdin.flush()

    def peak_kib(self, data, threads):
        """Peak resident memory, loading included; of what is freed, AddressSanitizer keeps nothing."""
        process = subprocess.Popen([support.LACONIC, "predict", TINY_BERT, "--data", data, "--threads", str(threads), "-o",
                                    self.folder / "labels.jsonl", "--force"],
                                   env=os.environ | {"ASAN_OPTIONS": "quarantine_size_mb=0:thread_local_quarantine_size_kb=0"})
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        return usage.ru_maxrss

    def test_order_and_bits_do_not_depend_on_who_tokenizes(self):
        data = write_jsonl(self.folder / "texts.jsonl", mixed_texts(2000))
        expected = self.ok("predict", TINY_BERT, "--data", data, "--threads", 1)
        self.assertEqual(len(expected.splitlines()), 2000)
        for batch, threads in ((1, 2), (7, 2), (32, 3), (5000, 2)):
            self.assertEqual(self.ok("predict", TINY_BERT, "--data", data, "--batch", batch, "--threads", threads), expected)

    def test_answers_come_before_the_input_ends(self):
        rows = mixed_texts(10)
        for threads in (1, 2):
            process = self.start("--batch", 4, "--threads", threads)
            self.send(process, rows)
            early = [process.stdout.readline() for _ in range(8)]  # two batches
            self.assertIsNone(process.poll())
            process.stdin.close()
            process.stdin = None
            rest = process.stdout.read()
            expected = self.ok("predict", TINY_BERT, *(word for row in rows for word in ("--text", row["text"])))
            self.assertEqual((b"".join(early) + rest).decode(), expected)

    def test_a_pause_ends_a_batch(self):
        process = self.start("--threads", 2)
        for row in mixed_texts(3):
            self.send(process, [row])
            self.assertIn("labels", json.loads(process.stdout.readline()))
        self.assertIsNone(process.poll())

    def test_an_error_comes_after_the_answers_before_it(self):
        rows = mixed_texts(1000)
        expected = self.ok("predict", TINY_BERT, "--data", write_jsonl(self.folder / "texts.jsonl", rows))
        for threads in (1, 2):
            process = self.start("--threads", threads)
            output, message = process.communicate("".join(json.dumps(row) + "\n" for row in [*rows, {"text": 7}]).encode())
            self.assertEqual(process.returncode, MALFORMED)
            self.assertIn("row 1001", message.decode())
            self.assertEqual(output.decode(), expected)

    def test_interrupted_while_it_waits_for_input(self):
        for threads in (1, 2):
            process = self.start("--batch", 4, "--threads", threads, "-o", self.folder / "labels.jsonl")
            self.send(process, mixed_texts(10))
            while not list(self.folder.iterdir()):  # the staging file: signals are handled by now
                self.assertIsNone(process.poll())
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)  # with standard input still open
            self.assertEqual(process.returncode, INTERRUPTED)
            self.assertEqual(list(self.folder.iterdir()), [])

    def test_memory_does_not_grow_with_the_input(self):
        rows = mixed_texts(1000)
        short = write_jsonl(self.folder / "short.jsonl", rows)
        long = write_jsonl(self.folder / "long.jsonl", rows * 40)
        self.assertGreater(long.stat().st_size, 4 << 20)  # their token ids, kept, would be as much
        for threads in (1, 2):
            self.assertLess(self.peak_kib(long, threads), self.peak_kib(short, threads) + 3000)


if __name__ == "__main__":
    support.main()
