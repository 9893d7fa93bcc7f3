"""What scripts read: texts of data files, what kind of classifier a directory holds, and the real models of ../shared."""
import csv
import json
from dataclasses import dataclass
from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared"


def read_texts(path):
    """The texts of a JSON array, of CSV or TSV with a header, or of JSONL: the field `text`, or `sentence`."""
    path = Path(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        if path.suffix == ".json":
            rows = json.load(file)
        elif path.suffix in (".csv", ".tsv"):
            rows = list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))
        else:
            rows = [json.loads(line) for line in file if line.strip()]
    return [row["text"] if "text" in row else row["sentence"] for row in rows]


def write_texts(path, texts):
    """JSONL, as `laconic` reads it."""
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")


def is_multi_label(model):
    """Whether several labels may be on: as laconic.json says in a directory that we wrote, else config.json."""
    artifact = model / "laconic.json"
    config = json.loads((artifact if artifact.exists() else model / "config.json").read_text(encoding="utf-8"))
    return config.get("problem_type") == "multi_label_classification"


@dataclass
class RealModel:
    """A classifier, how many tokens its texts are cut to, and its sets, each a list of files."""
    directory: Path
    max_length: int
    train: list
    validation: list
    test: list


def _real_model(name, max_length, pattern, parts=(["train"], ["validation"], ["test"])):
    sets = ([SHARED / "data" / pattern.format(part) for part in files] for files in parts)
    return RealModel(SHARED / "models" / name, max_length, *sets)


REAL_MODELS = {
    "minilm_sst2": _real_model("minilm_sst2", 96, "sst2/{}.jsonl"),
    "minilm_nlupp": _real_model("minilm_nlupp", 64, "nlupp/banking/fold{}.json", (range(16), range(16, 18), range(18, 20))),
    "me5_bn5": _real_model("me5_bn5", 96, "bn_cyberbully5/{}.csv"),
}
