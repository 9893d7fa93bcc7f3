"""PyTorch: transformers' model with quantize_dynamic, per channel, through oneDNN."""
import os

import torch
import transformers

from peers import padded


def prepare(_, source):
    return source.model  # it is quantized on loading


def load(_, path, num_threads, num_streams=1):
    assert num_streams == 1  # its number of threads is one of the process
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(num_threads)
    torch.backends.quantized.engine = "onednn"
    model = transformers.AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32).eval()
    scheme = {torch.nn.Linear: torch.ao.quantization.per_channel_dynamic_qconfig}
    model = torch.ao.quantization.quantize_dynamic(model, scheme)

    def bind(ids):
        inputs = {name: torch.from_numpy(value) for name, value in padded(ids).items()}

        @torch.inference_mode()
        def run():
            return model(**inputs).logits.numpy()
        return run
    return bind
