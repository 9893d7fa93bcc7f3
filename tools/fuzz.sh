#!/usr/bin/env bash
# Runs libFuzzer targets of a build, all if none is named: tools/fuzz.sh BUILD_DIR SECONDS_PER_TARGET [NAME...]
# A target NAME_fuzz starts from the files in fuzz/seeds/NAME, where there are any, and keeps what it learns in the build.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
seconds=$2

shift 2
targets=("${@/%/_fuzz}")
targets=("${targets[@]/#/$build/fuzz/}")
[[ $# -gt 0 ]] || targets=("$build"/fuzz/*_fuzz)
for target in "${targets[@]}"; do
  [[ -x $target ]] || { echo "fuzz: no target $target" >&2; exit 1; }
  name=$(basename "$target" _fuzz)
  corpus=$build/corpus/$name
  log=$build/corpus/$name.log
  mkdir -p "$corpus"
  seeds=fuzz/seeds/$name
  [[ -d $seeds ]] || seeds=
  if ! "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$build/corpus/$name-" \
    "$corpus" ${seeds:+"$seeds"} >"$log" 2>&1; then
    tail -n 40 "$log"
    echo "fuzz: $name failed; the input is among $build/corpus/$name-*" >&2
    exit 1
  fi
  echo "fuzz: $name: $(grep -E '^Done ' "$log")"
done
