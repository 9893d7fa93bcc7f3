#!/usr/bin/env python3
"""Makes small classifiers of each architecture in which every tensor is random, and the logits they must give.

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

sys.path.append(str(Path(__file__).resolve().parents[1] / "text"))
from charsmap import build_charsmap  # noqa: E402

MAX_LENGTH = 128
NUM_TEXTS = 240
SIZES = {"tiny": {"hidden": 32, "embedding": 24, "heads": 4, "layers": 2},
         "small": {"hidden": 96, "embedding": 40, "heads": 4, "layers": 3}}
SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprst" for vowel in "aeiou"]
ARCHITECTURES = ("bert", "electra", "distilbert", "roberta", "xlm-roberta", "albert")
ROBERTA_LIKE = ("roberta", "xlm-roberta")
ODD_WORDS = ["Élan", "naïve", "世界", "বাংলা", "don't", "e-mail", "x²", "3.14", "🙂", "MIXED", "ß", "..."]


def tiny_vocabulary():
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = SYLLABLES[::2] + ["##" + syllable for syllable in SYLLABLES[1::2]]
    return (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list("!\"',-.?:0123456789") + letters
            + ["##" + letter for letter in letters] + ["##" + digit for digit in "0123456789"] + ["世"] + pieces)


def wordpiece_tokenizer(vocabulary):
    return tokenizers.BertWordPieceTokenizer({piece: i for i, piece in enumerate(vocabulary)}, lowercase=True)


def byte_level_tokenizer(vocabulary, sentences):
    """RoBERTa's, trained on the sentences: no text is unknown to it."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(sentences, tokenizers.trainers.BpeTrainer(
        vocab_size=256 + len(vocabulary), special_tokens=special, show_progress=False,
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())))
    tokenizer.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0), True, False)
    return tokenizer


def unigram_tokenizer(arch, vocabulary):
    """XLM-RoBERTa's or ALBERT's: the words with made-up scores, behind a small character map."""
    rng = random.Random(len(vocabulary))
    special = ["<s>", "<pad>", "</s>", "<unk>"] if arch == "xlm-roberta" else ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    words = (word for word in vocabulary if not word.startswith("["))
    pieces = [word[2:] if word.startswith("##") else "\u2581" + word for word in words]
    pieces = dict.fromkeys([*pieces, "\u2581", *(piece[-1] for piece in pieces)])
    scored = [(token, 0.0) for token in special] + [(p, round(-2 - 3 * rng.random() / len(p), 4)) for p in pieces]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.Unigram(scored, special.index("<unk>"), False))
    normalizers, pre_tokenizers = tokenizers.normalizers, tokenizers.pre_tokenizers
    charsmap = normalizers.Precompiled(build_charsmap({"\u00b2": "2", "\u00df": "ss", "\t": " ", "\u2026": "...", "\u00e9": "e"}))
    if arch == "xlm-roberta":
        steps = [charsmap, normalizers.Replace(tokenizers.Regex(" {2,}"), " ")]
        tokenizer.add_special_tokens([*special, tokenizers.AddedToken("<mask>", lstrip=True, special=True)])
    else:
        steps = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(),
                 normalizers.StripAccents(), normalizers.Lowercase(), charsmap]
        tokenizer.add_special_tokens(special)
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    cls, sep, pair = ("<s>", "</s>", "<s> $A </s> </s> $B </s>") if arch == "xlm-roberta" else (
        "[CLS]", "[SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{cls} $A {sep}", pair=pair, special_tokens=[(t, tokenizer.token_to_id(t)) for t in (cls, sep)])
    return tokenizer


def make_tokenizer(arch, vocabulary, sentences):
    if arch == "roberta":
        return byte_level_tokenizer(vocabulary, sentences)
    return unigram_tokenizer(arch, vocabulary) if arch in ("xlm-roberta", "albert") else wordpiece_tokenizer(vocabulary)


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
              "distilbert": ["bully", "threat", "spam", "sexual", "religious"], "roberta": ["a", "b", "c", "d"],
              "xlm-roberta": ["joy", "anger", "fear"], "albert": ["false", "true"]}[arch]
    multi_label = arch in ("distilbert", "xlm-roberta")
    padding = 1 if arch in ROBERTA_LIKE else 0
    common = {"vocab_size": vocab_size, "max_position_embeddings": MAX_LENGTH + 2 * padding, "id2label": dict(enumerate(labels)),
              "label2id": {label: index for index, label in enumerate(labels)}, "pad_token_id": padding,
              "problem_type": "multi_label_classification" if multi_label else "single_label_classification"}
    if arch == "distilbert":
        return transformers.DistilBertConfig(dim=size["hidden"], hidden_dim=2 * size["hidden"], n_heads=size["heads"],
                                             n_layers=size["layers"], **common)
    extra = {"electra": {"embedding_size": size["embedding"]}, "roberta": {"type_vocab_size": 1},
             "albert": {"embedding_size": size["embedding"], "num_hidden_groups": 2, "inner_group_num": 2}}.get(arch, {})
    return transformers.AutoConfig.for_model(
        arch, hidden_size=size["hidden"], intermediate_size=2 * size["hidden"], num_attention_heads=size["heads"],
        num_hidden_layers=size["layers"] + (arch == "albert"), **extra, **common)


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
    head = getattr(model.classifier, "out_proj", model.classifier)
    logits = np.array([reference.logits_of(model, encoding) for encoding in encodings])
    scale = torch.from_numpy(2 / logits.std(axis=0))
    head.weight.data *= scale[:, None]
    head.bias.data += (head.bias.data - torch.from_numpy(logits.mean(axis=0))) * scale


def save_tokenizer(arch, tokenizer, directory):
    tokenizer.save(str(directory / "tokenizer.json"))
    config = {"model_max_length": MAX_LENGTH}
    if arch in ("bert", "electra", "distilbert"):
        vocabulary = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
        (directory / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
        config = {"do_lower_case": True, **config, "tokenizer_class": "BertTokenizer"}
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def save_directory(arch, model, tokenizer, directory, form):
    model = {"f16": model.half, "bf16": model.bfloat16}.get(form, model.float)()
    if form == "bin":
        directory.mkdir(parents=True, exist_ok=True)
        model.config.save_pretrained(directory)
        torch.save(model.state_dict(), directory / "pytorch_model.bin")
    else:
        model.save_pretrained(directory, max_shard_size="300KB" if form == "sharded" else "5GB")
    model.float()
    save_tokenizer(arch, tokenizer, directory)


def make_checkpoint(arch, args, vocabulary, sentences):
    tokenizer = make_tokenizer(arch, vocabulary, sentences)
    directory = args.output / (f"tiny_{arch.replace('-', '_')}" if args.size == "tiny" else arch)
    config = make_config(arch, tokenizer.get_vocab_size(), SIZES[args.size])
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
        save_directory(arch, model, tokenizer, path, form)

    logits = np.array([reference.logits_of(model, encoding) for encoding in encodings])
    for path in forms:
        loaded = reference.load_model(path)
        again = [reference.logits_of(loaded, encoding) for encoding in encodings[::20]]
        # Where the loader puts a tensor may change how a product is summed.
        np.testing.assert_allclose(again, logits[::20], rtol=0, atol=2e-5, err_msg=str(path))
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
    parser.add_argument("--architectures", nargs="+", choices=ARCHITECTURES, default=ARCHITECTURES)
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
    for arch in args.architectures:
        make_checkpoint(arch, args, vocabulary, sentences)


if __name__ == "__main__":
    main()
