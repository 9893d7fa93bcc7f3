#!/usr/bin/env python3
"""Writes the float32 logits that transformers gives a directory's model on rows of data files.

    .venv/bin/python tools/models/make_logit_goldens.py ../shared/models/minilm_sst2 ../shared/data/sst2/test.jsonl \\
        --max-length 96 -o tests/golden/minilm_sst2.json

The rows are spread evenly over the lengths of the texts, the shortest and the longest included. Each text is computed
alone, in one thread. The texts themselves are not stored.
"""
import argparse
import sys

import numpy as np
import torch

import reference


def pick_rows(lengths, count):
    """Indexes of `count` rows at even steps of the order by length."""
    order = np.argsort(lengths, kind="stable")
    return order[np.unique(np.linspace(0, len(order) - 1, count).round().astype(int))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", nargs="+")
    parser.add_argument("--max-length", type=int, required=True)
    parser.add_argument("--rows", type=int, default=240)
    parser.add_argument("-o", "--output", required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)

    tokenizer = reference.load_tokenizer(args.model, args.max_length)
    model = reference.load_model(args.model)
    rows = [(file, row, tokenizer.encode(text))
            for file, path in enumerate(args.data) for row, text in enumerate(reference.read_texts(path))]
    examples = []
    for index in pick_rows([len(encoding.ids) for _, _, encoding in rows], args.rows):
        file, row, encoding = rows[index]
        examples.append({"file": file, "row": row, "num_tokens": len(encoding.ids),
                         "logits": reference.json_floats(reference.logits_of(model, encoding))})
    head = {"made_by": " ".join(["tools/models/make_logit_goldens.py", *sys.argv[1:]]), "versions": reference.VERSIONS,
            "max_length": args.max_length, "files": args.data}
    reference.write_golden(args.output, head, examples)


if __name__ == "__main__":
    main()
