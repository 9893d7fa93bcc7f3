"""Writes tests/golden/csv_cases.json: random CSV texts, and what Python's csv module reads from them.

    .venv/bin/python tools/data/make_csv_golden.py

A case is [text, delimiter, rows]; rows is null where the csv module refuses the text in strict mode, or where it has no
header of distinct names or a row of another length: what Laconic must refuse. Made with Python 3.11.7.
"""

import csv
import io
import json
import random

NUM_CASES = 500


def read(text, delimiter):
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if row]
    except csv.Error:
        return None
    if not rows or len(set(rows[0])) != len(rows[0]) or any(len(row) != len(rows[0]) for row in rows):
        return None
    return rows


def random_field(rng):
    return "".join(rng.choice(["a", "b", ",", '"', "\r", "\n", "\r\n", "\t", " ", "ক্‍ষ"]) for _ in range(rng.randrange(5)))


def random_text(rng, delimiter):
    """Written by the csv module, with its varied quoting and line endings, and then perhaps damaged."""
    out = io.StringIO(newline="")
    writer = csv.writer(
        out,
        delimiter=delimiter,
        quoting=rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
        lineterminator=rng.choice(["\n", "\r\n", "\r"]),
    )
    columns = rng.randrange(1, 4)
    writer.writerow(["x", "y", "z"][:columns])
    for _ in range(rng.randrange(4)):
        writer.writerow([random_field(rng) for _ in range(columns)])
    text = out.getvalue()
    for _ in range(rng.choice([0, 0, 1, 2])):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(["", '"', "\n", "\r", delimiter, "q"]) + text[at + rng.randrange(2) :]
    return text


def main():
    rng = random.Random(1)
    cases = []
    for _ in range(NUM_CASES):
        delimiter = rng.choice([",", "\t"])
        text = random_text(rng, delimiter)
        cases.append([text, delimiter, read(text, delimiter)])
    with open("tests/golden/csv_cases.json", "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n]\n")
    print(f"{len(cases)} cases, {sum(rows is None for _, _, rows in cases)} refused")


if __name__ == "__main__":
    main()
