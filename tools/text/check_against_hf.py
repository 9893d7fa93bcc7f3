"""Compares our token ids with Hugging Face `tokenizers`, text by text, and prints counts, differences and speeds.

    cmake --build --preset release --target laconic_tokenize
    .venv/bin/python tools/text/check_against_hf.py build/release/src/text/laconic_tokenize [../shared] [--mixtures 100000] [--only NAME]

Exits with 1 if anything differs. What is compared: every text of the data sets, every assigned code point alone and between
letters, and random mixtures; for an English and a Bangla WordPiece vocabulary with every setting of BERT's normalizer, for a
Unigram vocabulary with its own normalizer and several others, a precompiled character map among them and, where
sentencepiece is installed, XLM-R's and ALBERT's; for BPE vocabularies, byte-level and not, trained here on the data
sets' texts.
"""

import argparse
import base64
import csv
import itertools
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import time
import unicodedata

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from charsmap import build_charsmap  # noqa: E402
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers  # noqa: E402

MAX_LENGTH = 512
SKIPPED = 77  # to CTest


def run_ours(program, tokenizer, inputs, max_length):
    """The results (ids, type ids, truncated) of laconic_tokenize for a list of tuples of one or two texts, and its seconds.

    tokenizer: the text of a tokenizer.json, or the path of a directory."""
    with tempfile.TemporaryDirectory() as folder:
        path = tokenizer if isinstance(tokenizer, pathlib.Path) else pathlib.Path(folder) / "tokenizer.json"
        if path != tokenizer:
            path.write_text(tokenizer, encoding="utf-8")
        with tempfile.TemporaryFile() as frames:
            for kind, texts in itertools.chain([(3, (str(path),))], ((len(i), i) for i in inputs)):
                frames.write(struct.pack("<II", kind, max_length))
                for data in (text.encode() for text in texts):
                    frames.write(struct.pack("<I", len(data)) + data)
            frames.seek(0)
            done = subprocess.run([program], stdin=frames, capture_output=True, check=True)
    results, at = [], 0
    while at < len(done.stdout):
        status, size = struct.unpack_from("<ii", done.stdout, at)
        values = struct.unpack_from(f"<{2 * size}i", done.stdout, at + 8)
        results.append((list(values[:size]), list(values[size:]), status))
        at += 8 + 8 * size
    assert len(results) == len(inputs) + 1 and results[0][2] == 0, done.stderr.decode()
    return results[1:], float(done.stderr.split()[-3])


def data_texts(shared):
    for split in ("train", "validation", "test"):
        for line in (shared / f"data/sst2/{split}.jsonl").read_text().splitlines():
            yield json.loads(line)["text"]
        with (shared / f"data/bn_cyberbully5/{split}.csv").open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
        yield from itertools.chain.from_iterable(rows)
    for fold in sorted((shared / "data/nlupp/banking").glob("*.json")):
        for item in json.loads(fold.read_text()):
            yield item["text"]


def code_point_texts():
    """Every assigned code point, alone and between letters of two scripts."""
    for c in map(chr, range(0x110000)):
        if unicodedata.category(c) not in ("Cn", "Cs"):
            yield c
            yield "a" + c + "b"
            yield "\u0995" + c + "\u0996"


def mixture_texts(count, specials, seed=20240607):
    """Random strings of what goes wrong most: joiners, nukta, marks, emoji, CJK, controls, special tokens."""
    rng = random.Random(seed)
    bangla = [chr(c) for c in range(0x0980, 0x0A00)]
    pools = [
        [chr(c) for c in range(0x20, 0x7F)],
        bangla, bangla, bangla,
        ["\u200c", "\u200d", "\u09bc", "\u09cd", "\u09cd\u200d", "\u200c\u09cd", "\u09cd\u09af", "\u09b0\u09cd"],
        [chr(c) for c in [*range(0x0300, 0x0370), *range(0x0483, 0x0488), *range(0x0591, 0x05C8), *range(0x064B, 0x0660),
                          *range(0x0900, 0x0904), *range(0x093C, 0x0950), *range(0x302A, 0x3030), 0x20D0, 0x20E0, 0x1D165]],
        ["\U0001f600", "\U0001f469\u200d\U0001f4bb", "\u2764\ufe0f", "\U0001f1e7\U0001f1e9", "\U0001f44d\U0001f3fd", "\u00a9"],
        [chr(c) for c in range(0x4E00, 0x4E40)] + ["\uf900", "\ufa0e", "\U0002f800", "\u3042", "\u30a2", "\ud55c", "\u1112\u1161\u11ab"],
        ["\0", "\t", "\n", "\r", "\r\n", "\x0b", "\x1c", "\x7f", "\x85", "\xa0", "\xad", "\u2028", "\u3000", "\ufeff", "\ufffd", "\u0378"],
        [" ", "  ", "   ", ".", ",", "\u0964", "\u2581", "-", "'", "\u00c9", "\u0130", "\u01c5", "\ufb01", "\u2460", "\u00bd", "\ufdfa"],
        ["the", "playing", "un", "\u0986\u09ae\u09bf", "\u09ac\u09be\u0982\u09b2\u09be", "\u0995\u09cb\u09a8\u09cb", "\u09a1\u09bc", "\u09dc"],
        specials,
        [chr(c) for c in range(0xA0, 0x2000) if unicodedata.category(chr(c)) != "Cn"],
    ]
    for _ in range(count):
        chosen = rng.sample(pools, rng.randint(1, 4))
        yield "".join(rng.choice(rng.choice(chosen)) for _ in range(rng.randint(1, 40)))


def bert_tokenizer(vocabulary, **options):
    tokens = vocabulary.read_text(encoding="utf-8").split("\n")[:-1]
    tokenizer = Tokenizer(models.WordPiece({t: i for i, t in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(**options)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.add_tokens([AddedToken("Foo\u00c9", single_word=True), AddedToken("<l>", lstrip=True, normalized=False),
                          AddedToken("<r> ", rstrip=True, normalized=False), AddedToken("\u0995\u09cb", rstrip=True, lstrip=True)])
    ids = {t: tokenizer.token_to_id(t) for t in ("[CLS]", "[SEP]")}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=list(ids.items()))
    return tokenizer


BERT_SPECIALS = ["[CLS]", "[SEP]", "[MASK]", "[UNK]", "[mask]", "Foo\u00c9", "foo\u00e9", "fooe", " <l>", "<l>", "<r> ", "<r>  ", "\u0995\u09cb"]
UNIGRAM_SPECIALS = ["<s>", "</s>", "<pad>", "<unk>", "<S>", "<x>", "\u2581", "``"]


def character_map():
    """In the manner of SentencePiece's nmt_nfkc: compatibility forms, odd spaces, deletions, some sequences."""
    rules = {}
    for c in map(chr, itertools.chain(range(0xA0, 0x0500), range(0x0900, 0x0A00), range(0x1E00, 0x2500), range(0x3000, 0x3400), range(0xFB00, 0x10000))):
        form = unicodedata.normalize("NFKC", c)
        if form != c and unicodedata.category(c) != "Cn":
            rules[c] = form
    for c in "\t\n\r\u00a0\u3000\u2028":
        rules[c] = " "
    for c in "\u200b\ufeff\u00ad\x01":
        rules[c] = ""
    for base in "aeioucn":
        for mark in "\u0300\u0301\u0302\u0303\u0308\u0327":
            form = unicodedata.normalize("NFC", base + mark)
            if len(form) == 1:
                rules[base + mark] = form
    return build_charsmap(rules)


def sentencepiece_map():
    """SentencePiece's own nmt_nfkc, which XLM-R and ALBERT carry, as a normalizer; None where SentencePiece is missing."""
    try:
        import sentencepiece
        from sentencepiece import sentencepiece_model_pb2
    except ImportError:
        print("the precompiled map of SentencePiece is not compared: no sentencepiece")
        return None
    with tempfile.TemporaryDirectory() as folder:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["a few words for a model of a few pieces"] * 9), model_prefix=f"{folder}/m", hard_vocab_limit=False,
            normalization_rule_name="nmt_nfkc", minloglevel=2)
        model = sentencepiece_model_pb2.ModelProto.FromString(pathlib.Path(folder, "m.model").read_bytes())
    code = base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode()
    return {"type": "Precompiled", "precompiled_charsmap": code}


def unigram_variants(path):
    """Name -> tokenizer.json text: the model's own and its vocabulary under other normalizers and pre-tokenizers."""
    original = json.loads(path.read_text())
    nfkc = {"type": "NFKC"}
    holder = Tokenizer(models.BPE())
    holder.normalizer = normalizers.Precompiled(character_map())
    precompiled = json.loads(holder.to_str())["normalizer"]
    collapse = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
    quotes = {"type": "Replace", "pattern": {"String": "``"}, "content": '"'}
    metaspace = lambda **options: {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True, **options}
    sequence = lambda *steps: {"type": "Sequence", "normalizers": list(steps)}
    changes = {
        "own": {},
        "charsmap": {"normalizer": sequence(precompiled, collapse), "pre_tokenizer": {
            "type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace()]}},
        "charsmap alone, unsplit": {"normalizer": precompiled, "pre_tokenizer": metaspace(split=False)},
        "first": {"normalizer": None, "pre_tokenizer": metaspace(prepend_scheme="first")},
        "NFKD, accents, lower": {"normalizer": sequence(quotes, {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}),
                                 "pre_tokenizer": metaspace(prepend_scheme="never")},
        "NFC, nmt": {"normalizer": sequence({"type": "Nmt"}, {"type": "NFC"}, {"type": "Strip", "strip_left": False, "strip_right": True}),
                     "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, metaspace()]}},
        "NFD, prepend": {"normalizer": sequence({"type": "NFD"}, {"type": "Prepend", "prepend": "\u2581"}),
                         "pre_tokenizer": {"type": "Punctuation", "behavior": "Contiguous"}},
        "bytes": {"normalizer": nfkc, "byte_fallback": True},
    }
    if (own_map := sentencepiece_map()) is not None:
        split = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace()]}
        marks = {**quotes, "pattern": {"String": "''"}}
        changes["XLM-R"] = {"normalizer": sequence(own_map, collapse), "pre_tokenizer": split}
        changes["ALBERT"] = {"pre_tokenizer": split, "normalizer": sequence(
            quotes, marks, {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, own_map, collapse)}
        changes["ALBERT, cased"] = {"pre_tokenizer": split, "normalizer": sequence(quotes, marks, own_map, collapse)}
    for name, change in changes.items():
        variant = json.loads(json.dumps(original))
        if change.pop("byte_fallback", False):
            variant["model"]["byte_fallback"] = True
            for byte in range(256):
                if byte != 0x0A:
                    variant["model"]["vocab"].append([f"<0x{byte:02X}>", -50.0])
        variant.update(change)
        variant["added_tokens"].append({"id": 0, "content": "<x>", "single_word": False, "lstrip": True, "rstrip": True,
                                        "normalized": True, "special": False})
        yield name, json.dumps(variant, ensure_ascii=False)


BPE_SPECIALS = ["<s>", "</s>", "<pad>", "<unk>", "<mask>", " <mask>", "<x>", "  <x> ", "'s", "'ll", "'LL", " 've", "123", "\u00b2", "\u0e33"]


def train_bpe(texts, size, pre_tokenizer, **options):
    """A BPE tokenizer.json trained on `texts`, with RoBERTa's special tokens."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>" if options else None, **{k: v for k, v in options.items() if v}))
    tokenizer.pre_tokenizer = pre_tokenizer
    byte_level = isinstance(pre_tokenizer, pre_tokenizers.ByteLevel)
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=size, show_progress=False, special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()) if byte_level else [], limit_alphabet=400,
        **{k: v for k, v in options.items() if k in ("continuing_subword_prefix", "end_of_word_suffix")}))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    tokenizer.add_tokens([AddedToken("<x>", lstrip=True, rstrip=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return json.loads(tokenizer.to_str())


def shuffled_merges(tokenizer, seed):
    """The same merges in random order, some twice: pairs that are met in an order in which training never learned them."""
    rng = random.Random(seed)
    merges = tokenizer["model"]["merges"]
    merges += rng.sample(merges, len(merges) // 10)
    vocabulary = tokenizer["model"]["vocab"]
    for token in rng.sample(sorted(vocabulary), min(len(vocabulary), 500)):  # other ways to the same tokens
        for cut in range(1, len(token)):
            if token[:cut] in vocabulary and token[cut:] in vocabulary:
                merges.append([token[:cut], token[cut:]])
    rng.shuffle(merges)
    return tokenizer


def bpe_variants(texts):
    """Name -> tokenizer.json text."""
    byte_level = pre_tokenizers.ByteLevel
    plain = train_bpe(texts, 20_000, byte_level(add_prefix_space=False))
    prefixed = train_bpe(texts, 3_000, byte_level(add_prefix_space=True))
    whole = train_bpe(texts, 3_000, byte_level(add_prefix_space=True, use_regex=False))
    words = train_bpe(texts, 3_000, pre_tokenizers.WhitespaceSplit(), fuse_unk=True)
    bert_like = train_bpe(texts, 3_000, pre_tokenizers.BertPreTokenizer(), continuing_subword_prefix="##")
    suffixed = train_bpe(texts, 3_000, pre_tokenizers.WhitespaceSplit(), end_of_word_suffix="</w>")
    copy = lambda tokenizer: json.loads(json.dumps(tokenizer))
    yield "byte-level", plain
    legacy = copy(plain)
    legacy["model"]["merges"] = ["#version: 0.2"] + [" ".join(merge) for merge in plain["model"]["merges"]]
    legacy["post_processor"] = {"type": "Sequence", "processors": [legacy["pre_tokenizer"], plain["post_processor"]]}
    yield "byte-level, merges as strings", legacy
    yield "byte-level, prefix space", prefixed
    yield "byte-level, shuffled", shuffled_merges(copy(prefixed), 1)
    whole["model"]["ignore_merges"] = True
    yield "byte-level, no regex, ignoring merges", whole
    by_normalizer = copy(whole)
    by_normalizer["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "ByteLevel"}]}
    by_normalizer["pre_tokenizer"] = None
    yield "byte-level normalizer", by_normalizer
    yield "characters, fused unknown", words
    alone = shuffled_merges(copy(words), 2)
    alone["model"]["fuse_unk"] = False
    yield "characters, shuffled", alone
    for fuse in (False, True):
        fallback = copy(words)
        vocabulary = fallback["model"]["vocab"]
        bytes_known = [byte for byte in range(256) if byte != 0x9F]
        vocabulary.update({f"<0x{byte:02X}>": 50_000 + 3 * byte for byte in bytes_known})
        fallback["model"].update(byte_fallback=True, fuse_unk=fuse)
        yield f"characters, bytes, fuse={fuse}", fallback
    silent = copy(words)
    silent["model"]["unk_token"] = None
    yield "characters, no unknown token", silent
    yield "prefix", bert_like
    yield "suffix", suffixed


class Comparison:
    def __init__(self, program):
        self.program = program
        self.differences = self.compared = 0

    def check(self, what, tokenizer, tokenizer_json, inputs, max_length=MAX_LENGTH):
        """Compares inputs (tuples of one or two texts) and prints one line."""
        tokenizer.enable_truncation(max_length)
        ours, _ = run_ours(self.program, tokenizer_json, inputs, max_length)
        wrong = 0
        for begin in range(0, len(inputs), 20_000):
            batch = [i if len(i) == 2 else i[0] for i in inputs[begin : begin + 20_000]]
            for n, theirs in enumerate(tokenizer.encode_batch_fast(batch), start=begin):
                expected = (theirs.ids, theirs.type_ids, int(bool(theirs.overflowing)))
                if expected != ours[n]:
                    wrong += 1
                    if wrong <= 3:
                        print(f"   differs: {inputs[n]!r:.300}\n   theirs {expected!r:.300}\n   ours   {ours[n]!r:.300}")
        print(f"{what:70} {len(inputs):8} inputs  {wrong} differences", flush=True)
        self.differences += wrong
        self.compared += len(inputs)

    def speed(self, tokenizer, tokenizer_json, texts):
        tokenizer.no_truncation()
        theirs = ours = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            count = sum(len(tokenizer.encode(t).ids) for t in texts)
            theirs = min(theirs, time.perf_counter() - start)
            results, seconds = run_ours(self.program, tokenizer_json, [(t,) for t in texts], (1 << 32) - 1)
            assert sum(len(ids) for ids, _, _ in results) == count
            ours = min(ours, seconds)
        print(f"   tokens per second, one thread: ours {count / ours:,.0f}, tokenizers {count / theirs:,.0f}, ratio {theirs / ours:.1f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("shared", type=pathlib.Path, nargs="?", default=pathlib.Path("../shared"))
    parser.add_argument("--mixtures", type=int, default=100_000)
    parser.add_argument("--every", type=int, default=1, help="compare only every so manieth text and code point")
    parser.add_argument("--only", default="", help="only tokenizers whose name contains this")
    arguments = parser.parse_args()
    if not arguments.shared.exists():
        print("skipped: no folder", arguments.shared)
        return SKIPPED
    shared = arguments.shared
    comparison = Comparison(arguments.program)
    all_texts = list(dict.fromkeys(data_texts(shared)))
    texts = all_texts[:: arguments.every]
    points = [(t,) for t in itertools.islice(code_point_texts(), 0, None, arguments.every)]

    def compare(name, tokenizer_json, specials):
        tokenizer = Tokenizer.from_str(tokenizer_json)
        tokenizer.no_padding()
        mixtures = list(mixture_texts(arguments.mixtures, specials))
        pairs = list(zip(mixtures, mixtures[1:]))[:20_000]
        comparison.check(name + ": data", tokenizer, tokenizer_json, [(t,) for t in texts])
        comparison.check(name + ": code points", tokenizer, tokenizer_json, points)
        comparison.check(name + ": mixtures", tokenizer, tokenizer_json, [(t,) for t in mixtures])
        comparison.check(name + ": mixtures, cut at 9", tokenizer, tokenizer_json, [(t,) for t in mixtures[:20_000]], 9)
        comparison.check(name + ": pairs, cut at 12", tokenizer, tokenizer_json, pairs, 12)
        comparison.check(name + ": pairs, cut at 13", tokenizer, tokenizer_json, pairs, 13)
        return tokenizer

    bangla = [t for t in texts if any("\u0980" <= c < "\u0a00" for c in t)]
    english = [t for t in texts if t.isascii()]
    for language, folder, own in (("English", "models/minilm_sst2", english), ("Bangla", "data/vocab/banglabert_sagor", bangla)):
        settings = itertools.product((True, False), (None, True, False), (True, False), (True, False))
        for lowercase, strip_accents, chinese, clean in settings:
            if not clean and not (lowercase and chinese):
                continue
            name = f"{language} WordPiece lower={lowercase} strip={strip_accents} chinese={chinese} clean={clean}"
            if arguments.only not in name:
                continue
            options = dict(lowercase=lowercase, strip_accents=strip_accents, handle_chinese_chars=chinese, clean_text=clean)
            tokenizer = bert_tokenizer(shared / folder / "vocab.txt", **options)
            tokenizer_json = tokenizer.to_str()
            tokenizer = compare(name, tokenizer_json, BERT_SPECIALS)
            if clean and chinese and lowercase == (language == "English") and strip_accents is None:
                comparison.speed(tokenizer, tokenizer_json, own)
    for name, tokenizer_json in unigram_variants(shared / "models/me5_bn5/tokenizer.json"):
        if arguments.only not in "Unigram " + name:
            continue
        tokenizer = compare("Unigram " + name, tokenizer_json, UNIGRAM_SPECIALS)
        if name in ("own", "charsmap"):
            comparison.speed(tokenizer, tokenizer_json, bangla)
    for name, tokenizer in bpe_variants(all_texts) if "BPE".startswith(arguments.only[:3]) else ():
        if arguments.only not in "BPE " + name:
            continue
        tokenizer_json = json.dumps(tokenizer, ensure_ascii=False)
        tokenizer = compare("BPE " + name, tokenizer_json, BPE_SPECIALS)
        if name == "byte-level":
            comparison.speed(tokenizer, tokenizer_json, english)
            comparison.speed(tokenizer, tokenizer_json, bangla)
    print(f"{comparison.compared:,} inputs compared, {comparison.differences} differences")
    return 1 if comparison.differences else 0


if __name__ == "__main__":
    sys.exit(main())
