"""Writes src/text/testdata/golden.json: token ids and normalized text as Hugging Face `tokenizers` and transformers make them.

    .venv/bin/python tools/text/make_golden.py ../shared
"""

import argparse
import base64
import hashlib
import json
import pathlib
import tempfile

import tokenizers
import transformers
from charsmap import build_charsmap
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

OUTPUT = pathlib.Path(__file__).resolve().parents[2] / "src/text/testdata/golden.json"
METASPACE = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}

TEXTS = [
    "",
    " ",
    "Hello, World! It's un-believable... playing",
    "na\u00efve caf\u00e9 CAFE\u0301 \u00c5ngstr\u00f6m \u0130stanbul \u01c5 \ufb01ne",
    "\u0986\u09ae\u09be\u09b0 \u09b8\u09cb\u09a8\u09be\u09b0 \u09ac\u09be\u0982\u09b2\u09be\u0964 \u0995\u09c7\u09be\u09a8\u09c7\u09be \u09a1\u09bc \u09dc \u09df",
    "\u0995\u09cd\u200d\u09af \u0995\u09cd\u200c\u09af \u09b0\u200d\u09cd\u09af \u09a8\u09cd\u09a4\u09cd\u09b0\u09c0 \u0995\u09c1\u0301",
    "[CLS] a [SEP] b [MASK]c [mask] [UNK] <s> x</s> <unk>",
    "<l> x   <l>y <r>   z<r> Foo\u00c9 foo\u00e9 fooe xfooe \u0995\u09cb \u0995",
    "\u4e2d\u6587abc\u3042\u30a2\ud55c\uad6d\u1112\u1161\u11ab \uf900\U0002f800\U0002b820\U00020000",
    "a\u00adb\u200bc\ufeffd\x00e\x07f\ufffdg\u0378h\ue000i",
    "tab\there\r\nnew\u2028line\u00a0nbsp\u3000wide \x0b\x85\x1c end ",
    "\U0001f600 \U0001f469\u200d\U0001f4bb \u2764\ufe0f \U0001f1e7\U0001f1e9 \U0001f44d\U0001f3fd",
    "$5 + 3 = 8% `q` ^x^ |y| ~z~ \u00a7\u2014\u2026\u201cquoted\u201d \u0964\u0965",
    "\u2460\u00bd\ufdfa\u33a5 \u01c4 \u2126 \u212b \u1e9b\u0323 \u0344 \u0f73",
    "a\u0315\u0300\u05ae\u0062 q\u0307\u0323 \u302e\u302a\U0001d165x \u0301lone",
    "\u2581under \u2581\u2581 a\u2581b  ``c`` ''d''",
    "x" * 100 + " " + "x" * 101 + " " + "\u09ac" * 101,
    "one two three four five six seven eight nine ten eleven twelve",
]
BPE_TEXTS = [
    "We'll don't I'VE you've  it's 'tis ''s 12345 x\u00b2\u0967\u0968 \u2460 a1b2 $5.00!?\n\n  end \t \u00a0x\u3000 y  ",
    "onexoneone xxxxxxx abababa babab zonez zz \u09a6\u09a7 aba\u00e9\u00e8b nenene <mask>x  <mask> <pad>",
    " one", "one", "  ", "x\u0085\u2028y", "\U0001f469\u200d\U0001f4bb\u0995\u09cd\u200d\u09af\u09bc",
]
PAIRS = [("one two three four five six", "a b"), ("a b", "one two three four five six"), ("", "x"), ("one two three four five", "six seven eight nine ten")]


def wordpiece():
    """A vocabulary of every character of TEXTS, of some words, and of odd entries."""
    characters = sorted({c for text in TEXTS for c in text + text.lower() if not c.isspace()})
    words = ["[PAD]", "##ing", "play", "un", "hello", "world", "##able", "one", "two", "##o", "x" * 50, "##" + "x" * 50, "", "##",
             "\u09ac\u09be\u0982\u09b2\u09be", "\u0986\u09ae\u09be\u09b0", "[CLS]", "foo", "##e", "[UNK]"]
    tokens = list(dict.fromkeys([*words, *characters, *("##" + c for c in characters), "[MASK]", "[SEP]"]))
    return {
        "version": "1.0",
        "truncation": {"max_length": 8, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": [
            *(added(token, tokens.index(token)) for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")),
            added("Foo\u00c9", 0, single_word=True, normalized=True),
            added("<l>", 0, lstrip=True),
            added("<r>", 0, rstrip=True),
            added("\u0995\u09cb", 0, lstrip=True, rstrip=True, normalized=True),
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", tokens.index("[SEP]")], "cls": ["[CLS]", tokens.index("[CLS]")]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
                  "vocab": {token: i for i, token in enumerate(tokens)}},
    }


def added(content, id, **flags):
    return {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": not flags, **flags}


def unigram():
    """Pieces with ties, scores that serde_json rounds its own way, and characters left out."""
    pieces = [["<s>", 0.0], ["</s>", 0.0], ["<unk>", 0.0]]
    pieces += [["\u2581", -3.4635426998138428], ["a", -2.1], ["b", -2.1], ["ab", -4.2], ["ba", -4.2], ["\u2581a", -5.5]]
    for i, c in enumerate(sorted({c for text in TEXTS for c in text if c.isalpha()})):
        if i % 5:
            pieces.append([c, -5.072621822357178 - i / 7])
    for i, word in enumerate(["\u2581one", "\u2581two", "th", "ree", "\u2581th", "ve", "en", "\u2581se", "\u09be\u09b0", "\u2581\u09b8\u09cb", "\u0995\u09cb"]):
        pieces.append([word, -7.8125 - i / 3])
    pieces += [["x", -1e-7], ["<0x21>", -12.0], ["<0xE2>", -12], ["<0x80>", -12], ["<0xA6>", -12], ["<s>", -3.0]]
    template = lambda *items: [{"Sequence": {"id": i, "type_id": 0}} if len(i) == 1 else {"SpecialToken": {"id": i, "type_id": 0}} for i in items]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [added("<s>", 0), added("</s>", 1), added("<unk>", 2), added("<l>", 0, lstrip=True, rstrip=True, normalized=True)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFKC"}, {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "}, {"type": "Strip", "strip_left": True, "strip_right": True}]},
        "pre_tokenizer": METASPACE,
        "post_processor": {"type": "TemplateProcessing", "single": template("<s>", "A", "</s>"),
                           "pair": template("<s>", "A", "</s>", "</s>", "B", "</s>"),
                           "special_tokens": {t: {"id": t, "ids": [i], "tokens": [t]} for t, i in (("<s>", 0), ("</s>", 1))}},
        "decoder": None,
        "model": {"type": "Unigram", "unk_id": 2, "vocab": pieces, "byte_fallback": False},
    }


def bpe():
    """RoBERTa's kind, trained on TEXTS."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(TEXTS * 2 + BPE_TEXTS, trainers.BpeTrainer(
        vocab_size=400, show_progress=False, special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    tokenizer.add_tokens([AddedToken("<l>", lstrip=True, rstrip=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return json.loads(tokenizer.to_str())


def character_bpe():
    """Without bytes: many ways to the same tokens, in an order that training would not give, and characters left out."""
    tokens = ["<s>", "</s>", "<unk>", *"abcdefghinoprtvwx", "##a", "##b", "##n", "##e", "a##b", "on", "one", "ne", "ab", "ba", "aba", "xx", "xxx", "xxxx",
              "##ne", "##ab", "##ba", "one</w>", "ne</w>", "e</w>", "o</w>", "x</w>", "xx</w>"]
    vocabulary = {token: 3 * i + (i == 0) for i, token in enumerate(tokens)}
    vocabulary |= {f"<0x{byte:02X}>": 1000 - byte for byte in range(256) if byte != 0xA6}
    merges = ["xx xx", "n e", "a ba", "x x", "o ne", "ab a", "b a", "a b", "x xxx", "on e", "o n", "a b", "x xx", "xx x"]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [added("<s>", 1), added("</s>", 3)],
        "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None, "decoder": None,
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": vocabulary, "merges": merges},
    }


def small_charsmap():
    rules = {"\ufb01": "fi", "\u2460": "1", "\u00bd": "1/2", "\u00ad": "", "\u00a0": " ", "\u3000": " ", "\t": " ", "\n": " ", "\r": " ",
             "\u00ef": "i", "e\u0301": "E", "a": "a", "\u0995": "K", "\u0995\u09c1": "KU", "\u2026": "...", "\u00a9": "(c)"}
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(build_charsmap(rules)).decode()}


def variants():
    """Name -> (base, patch of the tokenizer.json)."""
    yield "wordpiece plain", "wordpiece", {}
    for lowercase in (True, False):
        for strip_accents in (None, True, False):
            for chinese, clean in ((True, True), (False, True), (True, False)):
                name = f"bert lower={lowercase} strip={strip_accents} chinese={chinese} clean={clean}"
                yield name, "wordpiece", {"normalizer": {"type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": chinese,
                                                         "strip_accents": strip_accents, "lowercase": lowercase}}
    yield "wordpiece, roberta", "wordpiece", {"post_processor": {
        "type": "Sequence", "processors": [{"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
                                           {"type": "RobertaProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 5], "trim_offsets": True, "add_prefix_space": False}]}}
    yield "wordpiece, no special tokens", "wordpiece", {"post_processor": None, "pre_tokenizer": {"type": "Whitespace"}}
    for behavior in ("Isolated", "Contiguous", "Removed"):
        yield f"wordpiece, punctuation {behavior}", "wordpiece", {
            "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": behavior}]}}
    yield "unigram", "unigram", {}
    precompiled = small_charsmap()
    two_spaces = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}
    yield "unigram charsmap", "unigram", {"normalizer": {"type": "Sequence", "normalizers": [precompiled, two_spaces]}}
    yield "unigram charsmap unsplit", "unigram", {"normalizer": precompiled, "pre_tokenizer": {**METASPACE, "split": False}}
    yield "unigram first", "unigram", {"normalizer": None, "pre_tokenizer": {**METASPACE, "prepend_scheme": "first"}}
    yield "unigram never", "unigram", {
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Replace", "pattern": {"String": "``"}, "content": "\""}, {"type": "NFKD"}, {"type": "StripAccents"},
            {"type": "Nmt"}, {"type": "Prepend", "prepend": "x"}]},
        "pre_tokenizer": {**METASPACE, "prepend_scheme": "never"}}
    yield "unigram bytes", "unigram", {"model": {"byte_fallback": True}}
    byte_level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    yield "bpe", "bpe", {}
    yield "bpe, prefix space", "bpe", {"pre_tokenizer": byte_level, "post_processor": {"type": "Sequence", "processors": [
        byte_level, {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                     "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
                     "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}}]}}
    yield "bpe, no regex", "bpe", {"pre_tokenizer": {**byte_level, "use_regex": False}, "model": {"ignore_merges": True}}
    yield "bpe, normalizer", "bpe", {"normalizer": {"type": "ByteLevel"}, "pre_tokenizer": None}
    yield "bpe, words before", "bpe", {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "Isolated"}, byte_level]}}
    for fuse in (False, True):
        for fallback in (False, True):
            yield f"characters fuse={fuse} bytes={fallback}", "characters", {"model": {"fuse_unk": fuse, "byte_fallback": fallback}}
    yield "characters, no unknown", "characters", {"model": {"unk_token": None}}
    yield "characters, ignoring merges", "characters", {"model": {"ignore_merges": True}}
    yield "characters, prefix", "characters", {"model": {"continuing_subword_prefix": "##", "byte_fallback": True,
                                                         "merges": ["##b ##a", "a ##ba", "##a ##b", "##n ##e"]}}
    yield "characters, suffix", "characters", {"model": {"end_of_word_suffix": "</w>", "merges": [["n", "e</w>"], ["o", "n"], ["on", "e</w>"], ["x", "x</w>"]]}}


def merge_patch(target, patch):
    """RFC 7386, but for null, which is a value here."""
    if not isinstance(patch, dict) or not isinstance(target, dict) or "type" in patch:
        return patch
    return {**target, **{key: merge_patch(target.get(key), value) for key, value in patch.items()}}


SHARED = {"minilm": "models/minilm_sst2/tokenizer.json", "me5": "models/me5_bn5/tokenizer.json"}


def outcome(tokenizer, texts, max_length):
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    encoding = tokenizer.encode(*texts)
    return {"texts": texts, "max_length": max_length, "ids": encoding.ids, "type_ids": encoding.type_ids,
            "truncated": bool(encoding.overflowing)}


def outcomes(tokenizer, num_special=2, texts=TEXTS):
    cases = [outcome(tokenizer, [text], 1000) for text in texts]
    cases += [outcome(tokenizer, [TEXTS[-1]], length) for length in (num_special + 1, 9)]
    return cases + [outcome(tokenizer, list(pair), length) for pair in PAIRS for length in (100, 11, 10, 7)]


def sha256(texts):
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode())
    return digest.hexdigest()


def sweeps():
    """Digests over every code point: of the normalized "a" + c + marks + "b", and of pieces, each followed by a newline."""
    code_points = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    digests = []
    options = [{"type": t} for t in ("NFD", "NFC", "NFKD", "NFKC", "Lowercase", "StripAccents", "Nmt")]
    options += [v[2]["normalizer"] for v in variants() if v[0].startswith("bert")]
    options.append({"type": "Strip", "strip_left": True, "strip_right": True})
    for option in options:
        kind = dict(option)
        normalize = getattr(normalizers, kind.pop("type"))(**{k.removeprefix("strip_") if "left" in k or "right" in k else k: v for k, v in kind.items()}).normalize_str
        around = ("", "") if option["type"] == "Strip" else ("a", "\u0315\u0301b")
        digests.append({"normalizer": option, "sha256": sha256(normalize(around[0] + c + around[1]) for c in code_points)})
    for option in ({"type": "BertPreTokenizer"}, {"type": "Whitespace"}, {"type": "WhitespaceSplit"},
                   {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}):
        kind = dict(option)
        split = getattr(pre_tokenizers, kind.pop("type"))(**kind).pre_tokenize_str
        digests.append({"pre_tokenizer": option, "sha256": sha256(piece + "\n" for c in code_points for piece, _ in split("a" + c + "b"))})
    return digests


def numbers():
    """JSON numbers and the doubles, in hexadecimal, that the library reads them as."""
    literals = ["0", "-0.0", "1e-7", "-3.4635426998138428", "-5.072621822357178", "0.1", "123456789012345678901234567890", "1e308",
                "18446744073709551615.5", "18446744073709551616.25", "0.000000000000000000000000012345678901234567890123",
                "4.9e-324", "1e-400", "-2.2250738585072014e-308", "9007199254740993.0", "1E+2", "12345678901234567890123.9e-30",
                "0.30000000000000004", "-12.999999999999998", "7.038531e-26"]
    literals += [f"-{x}.{(x * 2654435761) % 10**16:016d}" for x in range(3, 15)]
    text = json.dumps({**unigram(), "added_tokens": [], "model": {"type": "Unigram", "unk_id": 0, "vocab": []}})
    vocabulary = ", ".join(f'["p{i}", {literal}]' for i, literal in enumerate(literals))
    read = json.loads(Tokenizer.from_str(text.replace('"vocab": []', f'"vocab": [{vocabulary}]')).to_str())["model"]["vocab"]
    return [[literal, float(value).hex()] for literal, (_, value) in zip(literals, read)]


def sagor(shared):
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "vocab.txt").write_bytes((shared / "data/vocab/banglabert_sagor/vocab.txt").read_bytes())
        return outcomes(transformers.BertTokenizer.from_pretrained(folder)._tokenizer)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("shared", type=pathlib.Path)
    shared = parser.parse_args().shared
    bases = {"wordpiece": wordpiece(), "unigram": unigram(), "bpe": bpe(), "characters": character_bpe()}
    groups = []
    for name, base, patch in variants():
        tokenizer = Tokenizer.from_str(json.dumps(merge_patch(bases[base], patch)))
        groups.append({"name": name, "base": base, "patch": patch, "cases": outcomes(tokenizer, texts=TEXTS + BPE_TEXTS * (base in ("bpe", "characters")))})
    for name, path in SHARED.items():
        tokenizer = Tokenizer.from_file(str(shared / path))
        groups.append({"name": name, "file": path, "cases": outcomes(tokenizer)})
    groups.append({"name": "sagor", "directory": "data/vocab/banglabert_sagor", "cases": sagor(shared)})
    golden = {
        "made_by": f"tools/text/make_golden.py with tokenizers {tokenizers.__version__}, transformers {transformers.__version__}: "
                   ".venv/bin/python tools/text/make_golden.py ../shared",
        "bases": bases,
        "numbers": numbers(),
        "sweeps": sweeps(),
    }
    compact = lambda value: json.dumps(value, separators=(",", ":"))
    lines = compact(golden)[:-1] + ',\n"groups":[\n' + ",\n".join(map(compact, groups)) + "\n]}\n"
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(lines)


if __name__ == "__main__":
    main()
