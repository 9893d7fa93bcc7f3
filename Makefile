# The front door; `make help` lists what it offers. The work is done by CMake presets and by the scripts in tools/.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

JOBS ?= $(shell nproc)
# Seconds that `make fuzz` gives each fuzz target.
FUZZ_SECONDS ?= 60
# Anything: warnings are errors in the release build too, as in CI. The other presets always have that.
WERROR ?=
export CMAKE_CXX_COMPILER_LAUNCHER ?= ccache
export CTEST_PARALLEL_LEVEL ?= $(JOBS)

configure = cmake --preset $(1) --log-level=WARNING $(if $(WERROR),-DLACONIC_WARNINGS_AS_ERRORS=ON)
compile = $(call configure,$(1)) && cmake --build --preset $(1) -j $(JOBS)
# What needs a long time or the PyTorch oracle is left to test-full.
quick = --label-exclude 'slow|oracle'

.PHONY: help
help:  ## list the targets
	@sed -nE 's/^([a-z-]+):.*  ## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

.PHONY: build
build:  ## build/release/laconic
	@tools/setup.sh build
	$(call configure,release)
	cmake --build --preset release -j $(JOBS) --target laconic_cli

.PHONY: demo
demo: build  ## a 48-intent classifier: fitted, quantized, compared, exported (examples/nlupp_banking)
	@tools/setup.sh python
	@tools/demo.sh

.PHONY: test
test:  ## build everything and run the tests; one compiler, no PyTorch
	@tools/setup.sh build python
	$(call compile,release)
	ctest --preset release $(quick)

.PHONY: test-full
test-full:  ## test, and the oracles, lint, clang, sanitizers and short fuzzing
	@tools/setup.sh build lint python oracle
	$(call compile,release)
	ctest --preset release
	$(MAKE) lint
	$(call compile,clang)
	ctest --preset clang $(quick)
	$(call compile,asan)
	ctest --preset asan $(quick)
	$(call compile,tsan)
	ctest --preset tsan $(quick)
	$(MAKE) fuzz
	@echo "test-full: all passed"

.PHONY: fuzz
fuzz:  ## run each fuzz target for FUZZ_SECONDS (60)
	@tools/setup.sh build lint
	$(call compile,fuzz)
	tools/fuzz.sh build/fuzz $(FUZZ_SECONDS)

.PHONY: bench
bench: build  ## speed next to other runtimes, interleaved in one run (BENCH="--threads 1 ...": see docs/benchmarks.md)
	@tools/setup.sh python peers
	cmake --build --preset release -j $(JOBS) --target peaks
	.venv/bin/python benchmarks/bench.py $(BENCH)

.PHONY: format
format:  ## clang-format every C++ file in place
	@tools/setup.sh lint
	git ls-files '*.h' '*.cpp' | xargs clang-format -i

.PHONY: lint
lint:  ## clang-format, the layer rule, clang-tidy (SINCE=REVISION: only files changed since)
	@tools/setup.sh build lint
	tools/lint.sh $(SINCE)

.PHONY: clean
clean:  ## remove what was built
	rm -rf build
