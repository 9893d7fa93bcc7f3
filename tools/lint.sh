#!/usr/bin/env bash
# clang-format, the rules that scripts check, and clang-tidy: tools/lint.sh [REVISION]
# With a revision clang-tidy reads only the sources changed since then, without one all of them.
set -euo pipefail
cd "$(dirname "$0")/.."

git ls-files '*.h' '*.cpp' | xargs clang-format --dry-run -Werror
python3 tools/check_layers.py
python3 tools/check_paths.py

# clang-tidy needs clang's own compile commands and the headers that the build generates.
cmake --preset clang --log-level=WARNING >/dev/null
ninja -C build/clang -t targets all | sed -nE 's/^([^ ]*\.pb\.h): .*/\1/p' | xargs -r ninja -C build/clang
if [[ $# -gt 0 ]]; then
  list=(git diff --name-only --diff-filter=d "$1")
else
  list=(git ls-files)
fi
"${list[@]}" -- 'src/*.cpp' 'cli/*.cpp' 'tests/*.cpp' 'benchmarks/*.cpp' |
  xargs -r -n 1 -P "$(nproc)" clang-tidy -p build/clang --quiet 2> >(grep -v 'generated\.$' >&2)
echo "lint: clean"
