"""CTranslate2, INT8: encoder and pooler; the classifier's one product is numpy's. It removes padding, as we do."""
import json
import sys

import numpy as np

# It would import these where they are installed, for seconds and 400 MB; nothing here needs them.
sys.modules["torch"] = sys.modules["transformers"] = None
import ctranslate2  # noqa: E402  pylint: disable=wrong-import-position
from ctranslate2.specs import common_spec, transformer_spec  # noqa: E402  pylint: disable=wrong-import-position


def _linear(spec, tensors, *names):
    """Sets one layer from tensors of these names, one below the other."""
    spec.weight = np.concatenate([tensors[f"{name}.weight"] for name in names])
    spec.bias = np.concatenate([tensors[f"{name}.bias"] for name in names])


def _layer_norm(spec, tensors, name):
    spec.gamma, spec.beta = tensors[f"{name}.weight"], tensors[f"{name}.bias"]


def _encoder(config, tensors):
    """A specification of BertModel."""
    encoder = transformer_spec.TransformerEncoderSpec(
        config["num_hidden_layers"], config["num_attention_heads"], pre_norm=False, layernorm_embedding=True,
        activation={"gelu": common_spec.Activation.GELU}[config["hidden_act"]], num_source_embeddings=2,
        embeddings_merge=common_spec.EmbeddingsMerge.ADD)
    encoder.scale_embeddings = False
    encoder.embeddings[0].weight = tensors["bert.embeddings.word_embeddings.weight"]
    encoder.embeddings[1].weight = tensors["bert.embeddings.token_type_embeddings.weight"]
    encoder.position_encodings.encodings = tensors["bert.embeddings.position_embeddings.weight"]
    _layer_norm(encoder.layernorm_embedding, tensors, "bert.embeddings.LayerNorm")
    for i, layer in enumerate(encoder.layer):
        name = f"bert.encoder.layer.{i}"
        _linear(layer.self_attention.linear[0], tensors, *(f"{name}.attention.self.{x}" for x in ("query", "key", "value")))
        _linear(layer.self_attention.linear[1], tensors, f"{name}.attention.output.dense")
        _layer_norm(layer.self_attention.layer_norm, tensors, f"{name}.attention.output.LayerNorm")
        _linear(layer.ffn.linear_0, tensors, f"{name}.intermediate.dense")
        _linear(layer.ffn.linear_1, tensors, f"{name}.output.dense")
        _layer_norm(layer.ffn.layer_norm, tensors, f"{name}.output.LayerNorm")
    return encoder


def prepare(_, source):
    from safetensors.numpy import load_file  # pylint: disable=import-outside-toplevel  # serving does without
    config = json.loads((source.model / "config.json").read_text(encoding="utf-8"))
    tensors = {name: tensor.astype(np.float32) for name, tensor in load_file(source.model / "model.safetensors").items()}
    spec = transformer_spec.TransformerEncoderModelSpec(_encoder(config, tensors), pooling_layer=True)
    _linear(spec.pooler_dense, tensors, "bert.pooler.dense")
    spec.register_vocabulary([f"token{i}" for i in range(config["vocab_size"])])
    spec.config.layer_norm_epsilon = config["layer_norm_eps"]
    spec.validate()
    spec.optimize(quantization="int8")
    path = source.folder / "ct2_int8"
    path.mkdir(exist_ok=True)
    spec.save(path)
    np.savez(path / "classifier.npz", weight=tensors["classifier.weight"], bias=tensors["classifier.bias"])
    return path


def load(_, path, num_threads, num_streams=1):
    encoder = ctranslate2.Encoder(str(path), "cpu", compute_type="int8", inter_threads=num_streams,
                                  intra_threads=num_threads // num_streams)
    classifier = dict(np.load(path / "classifier.npz"))

    def bind(ids):
        return lambda: np.array(encoder.forward_batch(ids).pooler_output) @ classifier["weight"].T + classifier["bias"]
    return bind
