"""What is run: texts of exact numbers of tokens, and how much work a classifier does on them."""
import random
import sys
from dataclasses import dataclass
from pathlib import Path

from tokenizers import BertWordPieceTokenizer, Tokenizer

sys.path.append(str(Path(__file__).resolve().parents[1] / "tools"))
from models_and_texts import is_multi_label, read_texts, write_texts  # noqa: E402, F401: for the scripts here

# Tokens of each text in a batch.
LENGTHS = {"1x16": [16], "1x128": [128], "1x512": [512], "8x128": [128] * 8, "16 of 8-128": list(range(8, 129, 8))}


def read_tokenizer(model):
    """Hugging Face's tokenizer of a model directory."""
    if (model / "tokenizer.json").exists():
        tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer
    return BertWordPieceTokenizer(str(model / "vocab.txt"), lowercase=True)


def text_of_length(tokenizer, sentences, length, rng):
    """A text of `length` tokens, [CLS] and [SEP] included: sentences from a random one on, cut after a word."""
    special = tokenizer.num_special_tokens_to_add(is_pair=False)
    while True:
        start = rng.randrange(len(sentences))
        text = " ".join((sentences[start:] + sentences)[:length])
        encoding = tokenizer.encode(text, add_special_tokens=False)
        if len(encoding.ids) >= length - special:
            text = text[:encoding.offsets[length - special - 1][1]]
            if len(tokenizer.encode(text).ids) == length:
                return text


@dataclass
class Workload:
    """A batch of texts: in a file for us, as token ids for the peers."""
    name: str
    path: object
    ids: list

    @property
    def lengths(self):
        return [len(row) for row in self.ids]


def make_workloads(model, sentences, folder, names):
    """Writes the texts of each workload; the same for the same model and sentences."""
    tokenizer = read_tokenizer(model)
    workloads = []
    for name in names:
        rng = random.Random(7)
        texts = [text_of_length(tokenizer, sentences, length, rng) for length in LENGTHS[name]]
        path = folder / f"{name.replace(' ', '_')}.jsonl"
        write_texts(path, texts)
        workloads.append(Workload(name, path, [tokenizer.encode(text).ids for text in texts]))
    return workloads


@dataclass
class Work:
    """What a classifier has to do on a batch, padding not counted."""
    gemm_ops: int      # in linear layers, a multiplication and an addition counted as two
    attention_ops: int  # in q k' and in probabilities times v
    weights: int       # elements of linear layers, each read once


def count_work(config, lengths, rows_read=True):
    """The work of BertForSequenceClassification. `rows_read`: of the last layer, whose output only [CLS] of each text
    is read of, queries, attention, its output and the feed-forward part are counted for that row alone; else for all.
    """
    hidden, inner, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    tokens, texts = sum(lengths), len(lengths)
    key_value, rest = 2 * hidden * hidden, 2 * hidden * hidden + 2 * hidden * inner
    last = texts if rows_read else tokens
    labels = len(config.get("id2label", [0, 1]))
    pooler = hidden * hidden + hidden * labels
    products = layers * tokens * key_value + ((layers - 1) * tokens + last) * rest + texts * pooler
    scores = sum((layers - 1) * n * n + (n if rows_read else n * n) for n in lengths)
    return Work(2 * products, 2 * 2 * hidden * scores, layers * (key_value + rest) + pooler)


# Which of the measured peaks a level of ours works against: INT8 products, float products.
_PEAKS = {"scalar": ("int8_avx2", ["f32_avx2"]), "avx2": ("int8_avx2", ["f32_avx2"]),
          "avx_vnni": ("int8_avx_vnni", ["f32_avx2"]),
          "avx512_vnni": ("int8_avx512_vnni", ["f32_avx512", "bf16_avx512"]),
          "avx512_bf16": ("int8_avx512_vnni", ["f32_avx512", "bf16_avx512"]), "amx": ("int8_amx", ["f32_avx512", "bf16_amx"])}


def bound_ms(work, peaks, isa, threads, kind, attention_kind):
    """(least milliseconds that `work` can take, milliseconds of its linear layers alone at the peak).

    Linear layers at the peak of their `kind` ("f32", "bf16", "int8"), then attention at that of its own ("f32", "int8",
    "float": the fastest float peak); or, if that takes longer, the weights once through memory, at the bandwidth
    measured on as many bytes.
    """
    def peak(name):
        return peaks["gops"].get(name, {}).get(str(threads), 0) * 1e6

    int8_name, float_names = _PEAKS[isa]
    fastest_float = max(map(peak, float_names))
    peak_of = {"int8": peak(int8_name), "f32": peak(float_names[0]), "bf16": fastest_float, "float": fastest_float}
    gemm = work.gemm_ops / peak_of[kind]
    weight_bytes = work.weights * {"int8": 1, "bf16": 2, "f32": 4}[kind]
    size = min(peaks["bandwidth_gb_s"], key=lambda mb: abs(float(mb) * 1e6 - weight_bytes))
    memory = weight_bytes / (peaks["bandwidth_gb_s"][size][str(threads)] * 1e6)
    return max(gemm + work.attention_ops / peak_of[attention_kind], memory), gemm
