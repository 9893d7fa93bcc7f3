"""What the scripts here share: texts from data files, and the logits that transformers gives them."""
import json
import platform
import sys
from pathlib import Path

import numpy as np
import tokenizers
import torch
import transformers

sys.path.append(str(Path(__file__).resolve().parents[1]))
from models_and_texts import read_texts  # noqa: E402, F401: for the scripts here

VERSIONS = ", ".join(f"{module.__name__} {module.__version__}" for module in (transformers, tokenizers, torch, np))
VERSIONS += f", {platform.machine()}"


def load_tokenizer(directory, max_length):
    """tokenizer.json alone decides, but for padding (ours never pads) and truncation."""
    tokenizer = tokenizers.Tokenizer.from_file(str(Path(directory) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return tokenizer


def load_model(directory):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


def logits_of(model, encoding):
    """float32 logits of one text, computed alone and without padding."""
    inputs = {"input_ids": encoding.ids, "attention_mask": [1] * len(encoding.ids)}
    if model.config.model_type != "distilbert":
        inputs["token_type_ids"] = encoding.type_ids
    with torch.no_grad():
        output = model(**{name: torch.tensor([values]) for name, values in inputs.items()})
    return output.logits[0].float().numpy()


def json_floats(values):
    """The shortest decimals that read back as the same float32."""
    return [float(str(np.float32(value))) for value in values]


def write_golden(path, head, examples):
    """One example a line, so that a change shows as one."""
    lines = [json.dumps(example, ensure_ascii=False, separators=(",", ":")) for example in examples]
    text = json.dumps(head, ensure_ascii=False, indent=1).removesuffix("\n}")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text + ',\n "examples": [\n' + ",\n".join(lines) + "\n]}\n", encoding="utf-8")
