#!/usr/bin/env python3
"""Makes this folder's data from the NLU++ data set: make_data.py NLUPP_DATA_FOLDER

NLUPP_DATA_FOLDER is nlupp/data of github.com/PolyAI-LDN/task-specific-datasets at commit
57ec275d8078af65b7731c2a98be812d844a6d6b: banking/fold0.json to banking/fold19.json.
"""
import json
import sys
from pathlib import Path

SPLITS = {"train": range(0, 16), "validation": range(16, 18), "test": range(18, 20)}


def main(source, target):
    for split, folds in SPLITS.items():
        rows = []
        for fold in folds:
            for row in json.loads((source / f"banking/fold{fold}.json").read_text(encoding="utf-8")):
                row = {"text": row["text"], "intents": row.get("intents", [])}
                rows.append(json.dumps(row, ensure_ascii=False))
        (target / f"{split}.json").write_text("[\n" + ",\n".join(rows) + "\n]\n", encoding="utf-8")
        print(f"{split}: {len(rows)} texts")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).resolve().parent)
