#!/usr/bin/env bash
# Installs what is missing on a Debian 12: tools/setup.sh GROUP...
#   build   compiler, CMake and the libraries that Laconic links
#   lint    clang, clang-tidy, clang-format (also the clang, sanitizer and fuzzing builds)
#   python  .venv with requirements.txt: ONNX, ONNX Runtime and Hugging Face tokenizers, to check ourselves against
#   peers   the same .venv, also with requirements-bench.txt: OpenVINO and CTranslate2, to measure ourselves against
#   oracle  the same .venv, also with requirements-oracle.txt: PyTorch and transformers
# Says nothing and takes no time where nothing is missing. Where it may not install, it names what to install and stops
# with status 1.
set -euo pipefail
cd "$(dirname "$0")/.."

build_packages=(
  ca-certificates ccache cmake g++ git make ninja-build protobuf-compiler
  libcli11-dev libeigen3-dev libfmt-dev libgmock-dev libgtest-dev libprotobuf-dev libssl-dev nlohmann-json3-dev
)
lint_packages=(clang clang-format clang-tidy libclang-rt-14-dev)

stop() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

install_packages() {
  local missing=()
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  [[ ${#missing[@]} -eq 0 ]] && return
  if ! command -v apt-get >/dev/null; then
    stop "no apt-get here; with what this system has, install what Debian 12 calls" "  ${missing[*]}" \
      "then build without this script: cmake --preset release && cmake --build --preset release"
  fi
  local as_root=()
  if [[ $(id -u) -ne 0 ]]; then
    command -v sudo >/dev/null ||
      stop "neither root nor sudo here; as root:" "  apt-get install --no-install-recommends ${missing[*]}"
    as_root=(sudo)
  fi
  echo "setup: installing ${missing[*]}"
  "${as_root[@]}" apt-get -qq update
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" \
    >/dev/null
}

install_requirements() {
  local file=$1 stamp
  stamp=.venv/$1.sha256
  sha256sum --status --check "$stamp" 2>/dev/null && return
  if [[ ! -x .venv/bin/python ]]; then
    python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages python3 python3-venv
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || stop "Python 3.11 or newer is needed"
    python3 -m venv .venv
  fi
  echo "setup: installing $file into .venv"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r "$file" ||
    stop "pip could not install $file; tests that need it are skipped by" \
      "  cmake --preset release && cmake --build --preset release && ctest --preset release"
  sha256sum "$file" >"$stamp"
}

for group in "$@"; do
  case $group in
    build) install_packages "${build_packages[@]}" ;;
    lint) install_packages "${lint_packages[@]}" ;;
    python) install_requirements requirements.txt ;;
    peers) install_requirements requirements-bench.txt ;;
    oracle) install_requirements requirements-oracle.txt ;;
    *)
      echo "setup: unknown group '$group'; known: build, lint, python, peers, oracle" >&2
      exit 2
      ;;
  esac
done
