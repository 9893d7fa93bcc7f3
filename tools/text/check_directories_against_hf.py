"""Compares what we make of directories with vocabulary and configuration files with transformers' BertTokenizer and
RobertaTokenizer.

    cmake --build --preset release --target laconic_tokenize
    .venv/bin/python tools/text/check_directories_against_hf.py build/release/src/text/laconic_tokenize [../shared]

Exits with 1 if anything differs.
"""

import argparse
import json
import pathlib
import sys
import tempfile

from check_against_hf import BERT_SPECIALS, BPE_SPECIALS, SKIPPED, data_texts, mixture_texts, run_ours, train_bpe
from tokenizers import pre_tokenizers
from transformers import BertTokenizer, RobertaTokenizer

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LOWER = {key: f"[{key[:-6]}]" for key in ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")}
FLAGS = {"lstrip": True, "rstrip": False, "single_word": False, "normalized": False}

# Name -> what is in its files; of vocab.txt, which vocabulary (a model's where there is none)
CASES = {
    "no configuration": {},
    "cased": {"tokenizer_config.json": {"do_lower_case": False}},
    "settings": {"tokenizer_config.json": {"do_lower_case": True, "strip_accents": False, "tokenize_chinese_chars": False,
                                           "model_max_length": 100, "tokenizer_class": "ElectraTokenizer"}},
    "lower-case names, absent from the vocabulary": {"special_tokens_map.json": {**LOWER, "unk_token": "[UNK]"}},
    "lower-case names, present": {"special_tokens_map.json": LOWER, "vocab.txt": "lower"},
    "odd ids": {"vocab.txt": "odd"},
    "two files": {"tokenizer_config.json": {"cls_token": "[unused1]"}, "special_tokens_map.json": {"cls_token": "[unused2]"}},
    "objects": {"special_tokens_map.json": {"mask_token": {"content": "[MASK]", **FLAGS}, "sep_token": {"content": "[unused5]", **FLAGS}}},
    "typed objects": {"tokenizer_config.json": {"mask_token": {"__type": "AddedToken", "content": "[MASK]", **FLAGS}}},
    "additional": {"tokenizer_config.json": {"additional_special_tokens": ["<e1>", "[unused3]", "<e2>"]}},
    "extra": {"tokenizer_config.json": {"extra_special_tokens": ["<e1>", "the"]}},
    "additional in the map": {"special_tokens_map.json": {"additional_special_tokens": ["<e1>", "<l>"]}},
    "bos and eos": {"tokenizer_config.json": {"bos_token": "<b>", "eos_token": "<e>"}},
    "no mask": {"tokenizer_config.json": {"mask_token": None}},
    "decoder": {"tokenizer_config.json": {"added_tokens_decoder": {
        "0": {"content": "[PAD]", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True},
        "40000": {"content": "<l>", "lstrip": True, "normalized": False, "rstrip": True, "single_word": False, "special": False},
        "30522": {"content": "Foo\u00c9", "lstrip": False, "normalized": True, "rstrip": False, "single_word": True, "special": False},
        "30523": {"content": "fox", "special": False}}}},
    "decoder before the map": {"tokenizer_config.json": {"added_tokens_decoder": {}}, "special_tokens_map.json": {"cls_token": "[unused2]"}},
    "added_tokens.json": {"added_tokens.json": {"Foo\u00c9": 30523, "<r> ": 30522}},
    "white space in the vocabulary": {"vocab.txt": "spaces"},
    "duplicates": {"vocab.txt": "duplicates"},
}


def vocabulary(kind, shared):
    if kind is None:
        return (shared / "models/minilm_sst2/vocab.txt").read_bytes()
    if kind == "duplicates":
        return (shared / "data/vocab/banglabert_sagor/vocab.txt").read_bytes()
    if kind == "lower":
        return (shared / "data/vocab/bert_base_uncased/vocab.txt").read_bytes()
    lines = (shared / "models/minilm_sst2/vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    if kind == "odd":
        rest = [line for line in lines if line not in TOKENS]
        return "\n".join([*rest[:500], "[SEP]", "[MASK]", *rest[500:], "[UNK]", "[CLS]", "[PAD]"]).encode()
    spaced = [line + ("  \t" if i % 3 == 0 else "\r" if i % 3 == 1 else "\u3000") for i, line in enumerate(lines)]
    return "\n".join([*spaced, "", "\u00a0", ""]).encode()


ROBERTA_CASES = {
    "vocab.json": {},
    "prefix space": {"tokenizer_config.json": {"add_prefix_space": True, "mask_token": {
        "__type": "AddedToken", "content": "<mask>", **FLAGS}, "extra_special_tokens": ["<e1>"]}},
    "other names": {"special_tokens_map.json": {"bos_token": "<b>", "cls_token": "<c>", "mask_token": "<m>", "sep_token": "<z>"}},
    "numbered": {"tokenizer_config.json": {"tokenizer_class": "RobertaTokenizerFast", "added_tokens_decoder": {
        "3000": {"content": "<x>", "lstrip": True, "normalized": True, "rstrip": True, "single_word": False, "special": False}}}},
}


def compare(name, program, folder, kind, texts):
    """The number of differences."""
    theirs = kind.from_pretrained(folder)
    wrong = 0
    for inputs, length in (([(t,) for t in texts], 128), (list(zip(texts, texts[1:])), 20)):
        ours, _ = run_ours(program, folder, inputs, length)
        for n, one in enumerate(inputs):
            expected = theirs(*one, truncation=True, max_length=length, return_token_type_ids=True)
            if ours[n][:2] != (expected["input_ids"], expected["token_type_ids"]):
                wrong += 1
                if wrong <= 2:
                    print(f"   differs: {one!r:.200}\n   theirs {expected['input_ids']!r:.200}\n   ours   {ours[n]!r:.200}")
    print(f"{name:50} {2 * len(texts) - 1:6} inputs  {wrong} differences", flush=True)
    return wrong


def roberta_differences(program, texts):
    model = train_bpe(texts, 3_000, pre_tokenizers.ByteLevel(add_prefix_space=False))["model"]
    merges = "#version: 0.2\n" + "".join(" ".join(merge) + "\n" for merge in model["merges"])
    total = 0
    for name, files in ROBERTA_CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "merges.txt").write_text(merges, encoding="utf-8")
            for file, content in {"vocab.json": model["vocab"], **files}.items():
                (folder / file).write_text(json.dumps(content), encoding="utf-8")
            total += compare(name, program, folder, RobertaTokenizer, texts)
    return total


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("shared", type=pathlib.Path, nargs="?", default=pathlib.Path("../shared"))
    arguments = parser.parse_args()
    if not arguments.shared.exists():
        print("skipped: no folder", arguments.shared)
        return SKIPPED
    texts = list(data_texts(arguments.shared))[::20]
    texts += mixture_texts(3_000, BERT_SPECIALS + TOKENS + list(LOWER.values()) + ["<e1>", "<e2>", "<b>", "<e>", "[unused2]"])
    total = 0
    for name, files in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "vocab.txt").write_bytes(vocabulary(files.get("vocab.txt"), arguments.shared))
            for file, content in files.items():
                if file != "vocab.txt":
                    (folder / file).write_text(json.dumps(content), encoding="utf-8")
            total += compare(name, arguments.program, folder, BertTokenizer, texts)
    total += roberta_differences(arguments.program, texts + list(mixture_texts(1_000, BPE_SPECIALS + ["<b>", "<c>", "<m>", "<z>", "<e1>"])))
    print(total, "differences")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
