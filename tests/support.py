"""What the tests share that run `laconic`: running it, tiny models and their texts, directories that are odd or broken."""
import contextlib
import json
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

LACONIC = None  # the executable; set by main()
ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests/data"
TINY_BERT = DATA / "tiny_bert"

# Exit statuses, as `laconic --help` documents them.
BUG, USAGE, MALFORMED, NOT_FOUND, UNSUPPORTED, IO, RESOURCE, INTERRUPTED = 1, 2, 3, 4, 5, 6, 7, 130


@contextlib.contextmanager
def skip_without_packages():
    """Where an import inside fails, the script ends as skipped (tests/CMakeLists.txt)."""
    try:
        yield
    except ImportError as missing:
        print(f"{Path(sys.argv[0]).stem}: skipped: {missing}")
        sys.exit(77)


def run(*arguments, timeout=60, **options):
    """Runs `laconic`, however it ends; output as bytes."""
    return subprocess.run([LACONIC, *map(str, arguments)], capture_output=True, timeout=timeout, **options)


def laconic(*arguments, status=0):
    """Runs `laconic`, which must exit with `status`; returns what it wrote to standard output."""
    result = run(*arguments, timeout=None)
    if result.returncode != status:
        raise AssertionError(f"laconic {arguments}: expected exit status {status}, got {result.returncode}\n{result.stderr.decode()}")
    return result.stdout.decode()


def listing(folder):
    """Every file below `folder`, hidden ones too, with what tells that it was not touched."""
    return {str(path.relative_to(folder)): (path.lstat().st_ino, path.lstat().st_size, path.lstat().st_mtime_ns)
            for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()} | {
            str(path.relative_to(folder)): None for path in folder.rglob("*") if path.is_dir()}


def read_tensors(path):
    """{name: (dtype, shape, bytes)} of a safetensors file."""
    data = Path(path).read_bytes()
    begin = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:begin])
    header.pop("__metadata__", None)
    return {name: (info["dtype"], info["shape"], data[begin + info["data_offsets"][0]:begin + info["data_offsets"][1]])
            for name, info in header.items()}


def safetensors_file(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def make_header(tensors):
    header, offset = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    return header


def write_tensors(path, tensors):
    Path(path).write_bytes(safetensors_file(make_header(tensors), b"".join(data for _, _, data in tensors.values())))


def write_jsonl(path, rows):
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Path(path)


def edit_json(path, **changes):
    """Sets members of a JSON object in a file; None removes one."""
    value = json.loads(Path(path).read_text(encoding="utf-8")) | changes
    value = {key: member for key, member in value.items() if member is not None}
    Path(path).write_text(json.dumps(value), encoding="utf-8")


def size(*paths):
    """Bytes of files."""
    return sum(path.stat().st_size for path in paths)


def examples(model, pairs=False):
    """Texts of a tiny model of tests/data with the logits that transformers gives them; with `pairs`, pairs too."""
    rows = json.loads((DATA / model / "expected_logits.json").read_text(encoding="utf-8"))["examples"]
    return [row for row in rows if pairs or "pair" not in row]


def write_texts(path, rows):
    """The texts of examples, as data to predict."""
    return write_jsonl(path, [{"text": row["text"]} for row in rows])


class CliTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="laconic-cli-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def copy_model(self, name="tiny_bert", to="model"):
        directory = self.folder / to
        shutil.copytree(DATA / name, directory)
        (directory / "expected_logits.json").unlink()
        return directory

    def texts(self, num=20, labels=("negative", "neutral", "positive")):
        rows = [{"text": e["text"], "label": labels[i % len(labels)]} for i, e in enumerate(examples("tiny_bert")[:num])]
        return write_jsonl(self.folder / "texts.jsonl", rows)

    def ok(self, *arguments, **options):
        """Runs `laconic` and returns what it wrote to standard output; keeps the rest in self.stderr."""
        result = run(*arguments, **options)
        self.stderr = result.stderr.decode()
        self.assertEqual(result.returncode, 0, f"laconic {arguments}\n{self.stderr}")
        return result.stdout.decode()

    def fails(self, status, *arguments, says=(), **options):
        """Runs `laconic`, which must exit with `status`, say each of `says`, and leave every file as it was."""
        before = listing(self.folder)
        result = run(*arguments, **options)
        message = result.stderr.decode()
        shown = f"laconic {arguments}\n{message}"
        self.assertEqual(result.returncode, status, shown)
        self.assertNotIn("internal:", message, shown)
        for expected in (says,) if isinstance(says, str) else says:
            self.assertIn(expected, message, shown)
        self.assertEqual(listing(self.folder), before, shown)
        return message

    def predictions(self, model, *arguments):
        """What `laconic predict` gives the first texts."""
        return self.ok("predict", model, *(arguments or ("--data", self.texts())))


def main():
    global LACONIC
    LACONIC = Path(sys.argv.pop(1)).absolute()
    # Imported under its own name by the test files, which run as __main__.
    unittest.main(module="__main__")
