#!/usr/bin/env python3
"""Tokens per second, ours and Hugging Face `tokenizers`', one thread each, in one interleaved run.

Both encode the same texts in turns, chunk by chunk, and processor time counts, so that whatever else the machine does
meets them alike. Ours are encoded one by one; of the two ways that `tokenizers` offers, a call a text and a call for all
(encode_batch_fast, no offsets), the faster counts. Both remember words: the first round, in which they meet them for the
first time, is shown apart. Ids are compared first. The BPE vocabulary is trained here, on the texts.
"""
import argparse
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # noqa: E402

from workloads import read_texts  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "build/release/src/text/laconic_tokenize"
NO_LIMIT = (1 << 31) - 1
ENGLISH, BANGLA = "data/sst2/train.jsonl", "data/bn_cyberbully5/train.csv"
NEEDED = (ENGLISH, BANGLA, "models/minilm_sst2/tokenizer.json", "models/me5_bn5/tokenizer.json")  # below --shared


class Ours:
    """A tokenizer in a laconic_tokenize process."""

    def __init__(self, path):
        self.process = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.send(3, self.text(str(path)))
        assert self.receive("<ii") == (0, 0)

    @staticmethod
    def text(text):
        data = text.encode()
        return struct.pack("<I", len(data)) + data

    def send(self, kind, payload):
        self.process.stdin.write(struct.pack("<II", kind, NO_LIMIT) + payload)
        self.process.stdin.flush()

    def receive(self, form):
        return struct.unpack(form, self.process.stdout.read(struct.calcsize(form)))

    def encode(self, text):
        self.send(1, self.text(text))
        _, size = self.receive("<ii")
        return list(self.receive(f"<{2 * size}i")[:size])

    def time(self, texts):
        """Seconds and tokens."""
        self.send(4, struct.pack("<I", len(texts)) + b"".join(map(self.text, texts)))
        nanoseconds, num_ids = self.receive("<qq")
        return nanoseconds / 1e9, num_ids


class HuggingFace:
    def __init__(self, path):
        self.tokenizer = Tokenizer.from_file(str(path))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    def encode(self, text):
        return self.tokenizer.encode(text).ids

    def time(self, texts):
        start = time.process_time()
        singly = [self.tokenizer.encode(text) for text in texts]
        middle = time.process_time()
        self.tokenizer.encode_batch_fast(texts)
        end = time.process_time()
        return min(middle - start, end - middle), sum(len(encoding.ids) for encoding in singly)


def train_bpe(texts, path):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=20_000, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.save(str(path))


def compare(name, path, texts, rounds, chunk):
    contenders = {"ours": Ours(path), "tokenizers": HuggingFace(path)}
    for text in texts[::50]:
        assert contenders["ours"].encode(text) == contenders["tokenizers"].encode(text), text
    chunks = [texts[i:i + chunk] for i in range(0, len(texts), chunk)]
    speeds = {contender: [] for contender in contenders}
    for _ in range(rounds):
        seconds = dict.fromkeys(contenders, 0.0)
        for part in chunks:
            counts = set()
            for contender, tokenizer in contenders.items():
                spent, count = tokenizer.time(part)
                seconds[contender] += spent
                counts.add(count)
            assert len(counts) == 1
        for contender in contenders:
            speeds[contender].append(seconds[contender])
    num_tokens = sum(contenders["ours"].time(part)[1] for part in chunks)
    ratios = [b / a for a, b in zip(speeds["ours"], speeds["tokenizers"])]
    ratio = statistics.median(ratios)
    figures = {contender: num_tokens / statistics.median(values) / 1e6 for contender, values in speeds.items()}
    print(f"{name:34} {len(texts):6,} texts {num_tokens:8,} tokens  ours {figures['ours']:6.2f}  tokenizers "
          f"{figures['tokenizers']:5.2f} million tokens a second  ratio {ratio:5.1f} "
          f"({min(ratios):.1f}-{max(ratios):.1f}, first {ratios[0]:.1f})", flush=True)
    return {"name": name, "texts": len(texts), "tokens": num_tokens, "million_per_second": figures, "ratio": ratio,
            "ratios": ratios}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT / "../shared")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chunk", type=int, default=500, help="texts a turn")
    parser.add_argument("--only", default="", help="only tokenizers whose name contains this")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    for name in NEEDED:
        if not (arguments.shared / name).exists():
            sys.exit(f"{arguments.shared / name} is missing; name a folder that has it with --shared (../shared, which is read "
                     "by default, is not part of this repository)")
    languages = {"English": read_texts(arguments.shared / ENGLISH), "Bangla": read_texts(arguments.shared / BANGLA)}
    results = []
    with tempfile.TemporaryDirectory() as folder:
        bpe = Path(folder) / "bpe.json"
        cases = (("WordPiece, English", "English", arguments.shared / "models/minilm_sst2/tokenizer.json"),
                 ("Unigram, Bangla", "Bangla", arguments.shared / "models/me5_bn5/tokenizer.json"),
                 ("byte-level BPE, English", "English", bpe), ("byte-level BPE, Bangla", "Bangla", bpe))
        train_bpe(languages["English"] + languages["Bangla"], bpe)
        for name, language, path in cases:
            if arguments.only in name:
                results.append(compare(name, path, languages[language], arguments.rounds, arguments.chunk))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
