#!/usr/bin/env python3
"""Writes a BERT-base classifier with random weights, for speed only: make_bert_base.py DIRECTORY [VOCABULARY]"""
import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HIDDEN, LAYERS, HEADS, INTERMEDIATE, POSITIONS, WORDS, LABELS = 768, 12, 12, 3072, 512, 30522, 2


def tensor_shapes():
    """{tensor name: shape} as transformers' BertForSequenceClassification saves them."""
    shapes = {"bert.embeddings.word_embeddings.weight": (WORDS, HIDDEN),
              "bert.embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
              "bert.embeddings.token_type_embeddings.weight": (2, HIDDEN)}

    def linear(name, outputs, inputs):
        shapes.update({f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)})

    def layer_norm(name):
        shapes.update({f"{name}.LayerNorm.weight": (HIDDEN,), f"{name}.LayerNorm.bias": (HIDDEN,)})

    layer_norm("bert.embeddings")
    for layer in range(LAYERS):
        prefix = f"bert.encoder.layer.{layer}"
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            linear(f"{prefix}.{name}", HIDDEN, HIDDEN)
        layer_norm(f"{prefix}.attention.output")
        linear(f"{prefix}.intermediate.dense", INTERMEDIATE, HIDDEN)
        linear(f"{prefix}.output.dense", HIDDEN, INTERMEDIATE)
        layer_norm(f"{prefix}.output")
    linear("bert.pooler.dense", HIDDEN, HIDDEN)
    linear("classifier", LABELS, HIDDEN)
    return shapes


def write(directory, vocabulary=None):
    """`vocabulary`: a vocab.txt of WORDS lines; else words are made up."""
    directory.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    tensors = {}
    for name, shape in tensor_shapes().items():
        tensors[name] = random.standard_normal(shape, np.float32) * np.float32(0.02)
        if name.endswith("LayerNorm.weight"):
            tensors[name] += np.float32(1)
    config = {"architectures": ["BertForSequenceClassification"], "model_type": "bert", "hidden_act": "gelu",
              "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
              "intermediate_size": INTERMEDIATE, "max_position_embeddings": POSITIONS, "vocab_size": WORDS,
              "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0,
              "id2label": {str(i): f"LABEL_{i}" for i in range(LABELS)}}
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words += [f"word{i}" for i in range(len(words), WORDS)]
    text = vocabulary.read_text(encoding="utf-8") if vocabulary else "".join(f"{word}\n" for word in words)
    (directory / "vocab.txt").write_text(text, encoding="utf-8")
    (directory / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}), encoding="utf-8")
    (directory / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})


if __name__ == "__main__":
    write(*map(Path, sys.argv[1:]))
