#!/usr/bin/env bash
# clang-format, the rules that scripts check, and clang-tidy: tools/lint.sh [REVISION]
# With a revision clang-tidy reads only the sources changed since then and those that include a header changed since
# then, through whatever other headers; without one, or where the checks themselves changed, all of them.
set -euo pipefail
cd "$(dirname "$0")/.."
[[ $# -eq 0 ]] || git rev-parse --verify "$1^{commit}" >/dev/null

# The C++ files changed since revision $1, with all that include them. An include names its file from src/ or include/,
# or, beside it, by its bare name.
changed_since() {
  local files='' grown
  grown=$(git diff --name-only --diff-filter=d "$1" -- '*.h' '*.cpp')
  while [[ $grown != "$files" ]]; do
    files=$grown
    grown=$(sed -nE 's:^(src/|include/)?(.*\.h)$:#include "\2":; T; p; s:".*/:":p' <<<"$files" |
      { git grep -lFf - -- '*.h' '*.cpp' || true; } | sort -u - <(echo "$files"))
  done
  echo "$files"
}

git ls-files '*.h' '*.cpp' | xargs clang-format --dry-run -Werror
python3 tools/check_layers.py
python3 tools/check_paths.py

# clang-tidy needs clang's own compile commands and the headers that the build generates.
cmake --preset clang --log-level=WARNING >/dev/null
ninja -C build/clang -t targets all | sed -nE 's/^([^ ]*\.pb\.h): .*/\1/p' | xargs -r ninja -C build/clang
if [[ $# -gt 0 ]] && git diff --quiet "$1" -- .clang-tidy; then
  files=$(changed_since "$1")
else
  files=$(git ls-files)
fi
sed -nE '/^(src|cli|tests|benchmarks)\/.*\.cpp$/p' <<<"$files" |
  xargs -r -n 1 -P "$(nproc)" clang-tidy -p build/clang --quiet 2> >(grep -v 'generated\.$' >&2)
echo "lint: clean"
