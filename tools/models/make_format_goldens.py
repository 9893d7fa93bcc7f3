#!/usr/bin/env python3
"""Writes the small checkpoints with which the readers of safetensors and of PyTorch's pickles are tested.

    .venv/bin/python tools/models/make_format_goldens.py -o tests/data/formats

dtypes.{safetensors,bin}  one tensor [2, 2] of each dtype, named as torch names it
views.bin                 tensors that share a storage, a scalar, an empty one, a Parameter
nested.bin                a module's state_dict() (OrderedDict with _metadata) inside a training checkpoint
legacy.bin                PyTorch's format before 1.6
"""
import argparse
from pathlib import Path

import safetensors.torch
import torch

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
          torch.uint8, torch.bool]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)

    dtypes = {str(dtype).removeprefix("torch."): torch.tensor([[0, 1], [2, 100]]).to(dtype) for dtype in DTYPES}
    safetensors.torch.save_file(dtypes, output / "dtypes.safetensors", metadata={"format": "pt"})
    torch.save(dtypes, output / "dtypes.bin")

    base = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    torch.save({"base": base, "row": base[1], "transposed": base.t(), "column": base[:, 2:3], "scalar": torch.tensor(7),
                "empty": torch.zeros(0, 3), "parameter": torch.nn.Parameter(torch.tensor([0.5, -0.5])),
                "note": "not a tensor"}, output / "views.bin")

    module = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.LayerNorm(1))
    for index, parameter in enumerate(module.parameters()):
        parameter.data.fill_(index + 1)
    torch.save({"epoch": 3, "loss": 0.25, "steps": 2**40, "done": True, "state_dict": module.state_dict(),
                "history": [1.0, None, "x"]}, output / "nested.bin")
    torch.save(module.state_dict(), output / "legacy.bin", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
