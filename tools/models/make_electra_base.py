#!/usr/bin/env python3
"""Writes an ELECTRA-base classifier of random float32 weights, in the memory of one block of them: for tests of size.

    .venv/bin/python tools/models/make_electra_base.py --words 32000 -o build/electra_base_32000     # 110.6M parameters
    .venv/bin/python tools/models/make_electra_base.py --words 102025 -o build/electra_base_102025   # 164.4M

BanglaBERT's shape. The vocabulary is made up, or the lines of --vocab FILE.
"""
import argparse
import itertools
import json
import string
import struct
from pathlib import Path

import numpy as np

HIDDEN, INTERMEDIATE, LAYERS, HEADS, POSITIONS = 768, 3072, 12, 12, 512
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
BLOCK = 1 << 22


def made_up_words(count):
    """Letters and digits, alone and as continuations, then aa, ##aa, ab, ..."""
    single = string.ascii_lowercase + string.digits
    longer = ("".join(letters) for length in itertools.count(2)
              for letters in itertools.product(string.ascii_lowercase, repeat=length))
    pieces = (form for word in itertools.chain(single, longer) for form in (word, "##" + word))
    return SPECIAL + list(string.punctuation) + list(itertools.islice(pieces, count - len(SPECIAL) - len(string.punctuation)))


def shapes(words, labels):
    def linear(name, outputs, inputs):
        return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}

    def norm(name):
        return {f"{name}.LayerNorm.weight": (HIDDEN,), f"{name}.LayerNorm.bias": (HIDDEN,)}

    found = {f"electra.embeddings.{name}_embeddings.weight": (rows, HIDDEN)
             for name, rows in (("word", words), ("position", POSITIONS), ("token_type", 2))}
    found |= norm("electra.embeddings")
    for layer in range(LAYERS):
        prefix = f"electra.encoder.layer.{layer}"
        for name in ("query", "key", "value"):
            found |= linear(f"{prefix}.attention.self.{name}", HIDDEN, HIDDEN)
        found |= linear(f"{prefix}.attention.output.dense", HIDDEN, HIDDEN) | norm(f"{prefix}.attention.output")
        found |= linear(f"{prefix}.intermediate.dense", INTERMEDIATE, HIDDEN)
        found |= linear(f"{prefix}.output.dense", HIDDEN, INTERMEDIATE) | norm(f"{prefix}.output")
    return found | linear("classifier.dense", HIDDEN, HIDDEN) | linear("classifier.out_proj", labels, HIDDEN)


def write_safetensors(path, tensors, rng):
    header, offset = {}, 0
    for name, shape in tensors.items():
        end = offset + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in tensors.items():
            mean = 1 if name.endswith("LayerNorm.weight") else 0
            left = int(np.prod(shape))
            while left > 0:
                block = rng.standard_normal(min(left, BLOCK), dtype=np.float32)
                file.write((block * np.float32(0.05) + np.float32(mean)).astype("<f4").tobytes())
                left -= block.size
    return offset // 4


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--words", type=int)
    source.add_argument("--vocab", type=Path)
    parser.add_argument("--labels", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()

    words = args.vocab.read_text(encoding="utf-8").removesuffix("\n").split("\n") if args.vocab else made_up_words(args.words)
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    (args.output / "tokenizer_config.json").write_text(json.dumps(
        {"do_lower_case": True, "model_max_length": POSITIONS, "tokenizer_class": "ElectraTokenizer"}, indent=2) + "\n")
    (args.output / "config.json").write_text(json.dumps(
        {"architectures": ["ElectraForSequenceClassification"], "model_type": "electra", "vocab_size": len(words),
         "embedding_size": HIDDEN, "hidden_size": HIDDEN, "intermediate_size": INTERMEDIATE, "hidden_act": "gelu",
         "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "max_position_embeddings": POSITIONS,
         "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0, "num_labels": args.labels}, indent=2) + "\n")
    parameters = write_safetensors(args.output / "model.safetensors", shapes(len(words), args.labels),
                                   np.random.default_rng(args.seed))
    print(f"{args.output}: {len(words)} words, {parameters} parameters")


if __name__ == "__main__":
    main()
