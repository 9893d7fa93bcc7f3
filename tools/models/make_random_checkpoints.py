#!/usr/bin/env python3
"""Makes small BERT, ELECTRA and DistilBERT classifiers in which every tensor is random, and the logits they must give.

    .venv/bin/python tools/models/make_random_checkpoints.py --size tiny -o tests/data
    .venv/bin/python tools/models/make_random_checkpoints.py --size small --sentences ../shared/data/sst2/test.jsonl \\
        -o build/random_checkpoints

tiny writes OUT/tiny_ARCH (float32 safetensors). small writes OUT/ARCH/{safetensors,sharded,f16,bf16,bin}. Beside the
weights, or above the five folders, lies `expected_logits.json`: texts of mixed lengths, some of them pairs, with their
token ids and float32 logits.

A fresh model has biases of 0, LayerNorms of 1 and logits of almost 0, so that a reader could drop half of its tensors
unseen; here all count, and the logits of each label have a standard deviation of about 2 over the texts. Every value is
rounded to bfloat16 inside binary16's normal range: the five forms hold the same numbers and have the same logits.
"""
import argparse
import json
import random
import sys
from pathlib import Path

import numpy as np
import tokenizers
import torch
import transformers

import reference

MAX_LENGTH = 128
NUM_TEXTS = 240
SIZES = {"tiny": {"hidden": 32, "embedding": 24, "heads": 4, "layers": 2},
         "small": {"hidden": 96, "embedding": 40, "heads": 4, "layers": 3}}
SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprst" for vowel in "aeiou"]
ODD_WORDS = ["Élan", "naïve", "世界", "বাংলা", "don't", "e-mail", "x²", "3.14", "🙂", "MIXED", "ß", "..."]


def tiny_vocabulary():
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = SYLLABLES[::2] + ["##" + syllable for syllable in SYLLABLES[1::2]]
    return (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list("!\"',-.?:0123456789") + letters
            + ["##" + letter for letter in letters] + ["##" + digit for digit in "0123456789"] + ["世"] + pieces)


def made_up_sentences(rng):
    return [" ".join("".join(rng.choices(SYLLABLES, k=rng.randint(1, 4))) for _ in range(rng.randint(1, 9))) + rng.choice(".!?")
            for _ in range(500)]


def make_texts(rng, sentences):
    """(text, pair or None): one sentence to many more than MAX_LENGTH holds, with words that tokenizers split oddly."""
    texts = [("", None), (" \t\n", None)]
    while len(texts) < NUM_TEXTS:
        words = " ".join(rng.choices(sentences, k=1 + int(rng.expovariate(0.5)))).split(" ")
        for _ in range(rng.randint(0, 2)):
            words.insert(rng.randint(0, len(words)), rng.choice(ODD_WORDS))
        texts.append((" ".join(words), rng.choice(sentences) if len(texts) % 10 == 0 else None))
    return texts


def make_config(arch, vocab_size, size):
    labels = {"bert": ["negative", "neutral", "positive"], "electra": ["no", "yes"],
              "distilbert": ["bully", "threat", "spam", "sexual", "religious"]}[arch]
    common = {"vocab_size": vocab_size, "max_position_embeddings": MAX_LENGTH, "id2label": dict(enumerate(labels)),
              "label2id": {label: index for index, label in enumerate(labels)}, "pad_token_id": 0,
              "problem_type": "multi_label_classification" if arch == "distilbert" else "single_label_classification"}
    if arch == "distilbert":
        return transformers.DistilBertConfig(dim=size["hidden"], hidden_dim=2 * size["hidden"], n_heads=size["heads"],
                                             n_layers=size["layers"], **common)
    kind = {"bert": transformers.BertConfig, "electra": transformers.ElectraConfig}[arch]
    extra = {"embedding_size": size["embedding"]} if arch == "electra" else {}
    return kind(hidden_size=size["hidden"], intermediate_size=2 * size["hidden"], num_attention_heads=size["heads"],
                num_hidden_layers=size["layers"], **extra, **common)


def randomize(model, generator):
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith("bias"):
            value = 0.3 * noise
        elif "norm" in name.lower():
            value = 1 + 0.3 * noise
        elif "embeddings." in name:
            value = noise
        else:
            value = 1.3 * noise / parameter.shape[1] ** 0.5
        parameter.data.copy_(value)


def round_to_all_formats(model):
    for parameter in model.parameters():
        value = parameter.data.bfloat16().float()
        smallest = torch.full_like(value, 2.0**-14)
        parameter.data.copy_(torch.where(value.abs() < smallest, smallest.copysign(value), value))


def scale_logits(model, encodings):
    """Spreads each label's logits over the texts to a standard deviation of 2, around a random middle near 0."""
    head = model.classifier.out_proj if model.config.model_type == "electra" else model.classifier
    logits = np.array([reference.logits_of(model, encoding) for encoding in encodings])
    scale = torch.from_numpy(2 / logits.std(axis=0))
    head.weight.data *= scale[:, None]
    head.bias.data += (head.bias.data - torch.from_numpy(logits.mean(axis=0))) * scale


def save_directory(model, tokenizer, vocabulary, directory, form):
    model = {"f16": model.half, "bf16": model.bfloat16}.get(form, model.float)()
    if form == "bin":
        directory.mkdir(parents=True, exist_ok=True)
        model.config.save_pretrained(directory)
        torch.save(model.state_dict(), directory / "pytorch_model.bin")
    else:
        model.save_pretrained(directory, max_shard_size="300KB" if form == "sharded" else "5GB")
    model.float()
    tokenizer.save(str(directory / "tokenizer.json"))
    (directory / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    (directory / "tokenizer_config.json").write_text(json.dumps(
        {"do_lower_case": True, "model_max_length": MAX_LENGTH, "tokenizer_class": "BertTokenizer"}, indent=2) + "\n")


def make_checkpoint(arch, args, vocabulary, sentences):
    tokenizer = tokenizers.BertWordPieceTokenizer({piece: i for i, piece in enumerate(vocabulary)}, lowercase=True)
    directory = args.output / (f"tiny_{arch}" if args.size == "tiny" else arch)
    config = make_config(arch, len(vocabulary), SIZES[args.size])
    model = transformers.AutoModelForSequenceClassification.from_config(config, attn_implementation="eager").eval()
    forms = {directory: "safetensors"}
    if args.size == "small":
        forms = {directory / form: form for form in ("safetensors", "sharded", "f16", "bf16", "bin")}

    texts = make_texts(random.Random(args.seed), sentences)
    tokenizer.enable_truncation(MAX_LENGTH)
    encodings = [tokenizer.encode(text, pair) for text, pair in texts]
    tokenizer.no_truncation()
    randomize(model, torch.Generator().manual_seed(args.seed))
    scale_logits(model, encodings)
    round_to_all_formats(model)
    for path, form in forms.items():
        save_directory(model, tokenizer, vocabulary, path, form)

    logits = np.array([reference.logits_of(model, encoding) for encoding in encodings])
    for path in forms:
        loaded = reference.load_model(path)
        assert all(np.array_equal(reference.logits_of(loaded, e), l) for e, l in zip(encodings[::20], logits[::20])), path
    print(f"{directory}: {model.num_parameters()} parameters, {min(len(e.ids) for e in encodings)} to "
          f"{max(len(e.ids) for e in encodings)} tokens, logits' deviation {logits.std(axis=0).round(2)}")
    examples = []
    for (text, pair), encoding, row in zip(texts, encodings, logits):
        pair_fields = {} if pair is None else {"pair": pair, "token_type_ids": encoding.type_ids}
        examples.append({"text": text, **pair_fields, "input_ids": encoding.ids, "logits": reference.json_floats(row)})
    head = {"made_by": " ".join(["tools/models/make_random_checkpoints.py", *sys.argv[1:]]),
            "versions": reference.VERSIONS, "max_length": MAX_LENGTH}
    reference.write_golden(directory / "expected_logits.json", head, examples)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, required=True)
    parser.add_argument("--vocab", type=Path, default="../shared/models/minilm_sst2/vocab.txt",
                        help="its first 8,000 words are what small checkpoints know")
    parser.add_argument("--sentences", type=Path, nargs="+", help="data files with texts; made up where absent")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()

    vocabulary = tiny_vocabulary()
    if args.size == "small":
        vocabulary = args.vocab.read_text(encoding="utf-8").split("\n")[:8000]
    sentences = made_up_sentences(random.Random(args.seed))
    if args.sentences:
        sentences = [text for path in args.sentences for text in reference.read_texts(path)]
    for arch in ("bert", "electra", "distilbert"):
        make_checkpoint(arch, args, vocabulary, sentences)


if __name__ == "__main__":
    main()
