# Every target runs in .venv, which `make setup` builds once.
BOARD ?= stm32f746
OUT ?= build/demo
SECONDS ?= 60
SEED ?=
VENV := .venv
PYTHON := $(VENV)/bin/python
APT_PACKAGES := ccache dataset-fashion-mnist espeak-ng libusb-1.0-0 python3-venv g++ clang-format \
  gcc-arm-none-eabi libnewlib-arm-none-eabi libstdc++-arm-none-eabi-newlib llvm qemu-system-arm

.PHONY: help setup demo firmware test test-fast browser sizes sanitize fuzz bench audit lint format pages site wheel clean
.DEFAULT_GOAL := help

help:
	@echo "make setup   virtual environment, operators, Debian packages (once)"
	@echo "make demo    search, train, convert, run in TFLM   [BOARD=$(BOARD)]"
	@echo "make firmware  the demo's model on emulated boards, images for the real ones"
	@echo "make test    the test suite"
	@echo "make test-fast  of it what trains no network and is done in a minute or two"
	@echo "make browser  reports of runs in headless Chromium, with screenshots"
	@echo "make sizes   predicted sizes of 200 random subnets against the converted models"
	@echo "make sanitize  the operators' tests under ASan and UBSan"
	@echo "make fuzz    the operators and every reader of files, by coverage   [SECONDS=$(SECONDS) each, SEED=N]"
	@echo "make bench   every benchmark, into build/bench/*.json"
	@echo "make audit   known faults of the packages in requirements.lock"
	@echo "make lint    ruff, mypy, import-linter, clang-format"
	@echo "make format  rewrite sources as the formatters want them"
	@echo "make pages   the documents' commands and the notebooks, as a reader follows them, into build/pages"
	@echo "make site    the documents and the API's reference as a site, into build/site"
	@echo "make wheel   sdist and manylinux wheel into dist/, used in an empty environment"

setup: $(VENV)/.ready

$(VENV)/.packages: scripts/install_packages.sh Makefile
	@scripts/install_packages.sh $(APT_PACKAGES)
	@mkdir -p $(VENV) && touch $@

# The versions that are tested, each file known by its hash; scripts/lock_requirements.sh writes them.
$(VENV)/.python: $(VENV)/.packages pyproject.toml requirements.lock
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --no-deps --require-hashes --requirement requirements.lock
	$(PYTHON) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# The editable install built the operators once; this rebuilds what has changed since.
OPERATOR_SOURCES := $(wildcard custom_ops/CMakeLists.txt custom_ops/kernels/* custom_ops/kernels/cortex_m/* custom_ops/tflm/*)
$(VENV)/.ready: $(VENV)/.python $(OPERATOR_SOURCES)
	@mkdir -p build
	@$(VENV)/bin/cmake -S custom_ops -B build/cmake -G Ninja \
	  -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(VENV)/bin/ninja \
	  -DCMAKE_LIBRARY_OUTPUT_DIRECTORY=$(CURDIR)/build/lib > build/cmake.log 2>&1 \
	  || (cat build/cmake.log; exit 1)
	@$(VENV)/bin/cmake --build build/cmake
	@touch $@

demo: setup
	$(VENV)/bin/mcuformer demo --board "$(BOARD)" --out $(OUT)

# The demo's model as firmware: compared with TFLM on each emulated board, built for each real one,
# that of BOARD=mine.toml too.
FIRMWARE_BOARDS := stm32f427 stm32f746 stm32h743 stm32n657 corstone-300 $(filter %.toml,$(BOARD))
firmware: setup $(OUT)/model.tflite
	set -e; for board in $(FIRMWARE_BOARDS); do \
	  $(VENV)/bin/mcuformer emulate $(OUT)/model.tflite --board $$board; \
	  project=build/firmware/$$(basename $$board .toml); \
	  $(VENV)/bin/mcuformer firmware $(OUT)/model.tflite --board $$board --out $$project; \
	  $(VENV)/bin/cmake -S $$project -B $$project/build \
	    -DCMAKE_TOOLCHAIN_FILE=arm-none-eabi.cmake > build/firmware.log || (cat build/firmware.log; exit 1); \
	  $(VENV)/bin/cmake --build $$project/build; \
	done
	$(PYTHON) -m pytest tests/mcuformer_tflm/firmware/test_firmware.py

$(OUT)/model.tflite: | $(VENV)/.ready
	$(VENV)/bin/mcuformer demo --board "$(BOARD)" --out $(OUT)

# A process a core, but no more than memory bears; a file's tests share what its fixtures made,
# and files start in the order in which tests/conftest.py puts them.
PYTEST := $(PYTHON) -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
test: setup
	$(PYTEST)

test-fast: setup
	$(PYTEST) -m "not slow"

# The page of a run in headless Chromium, half a gigabyte of packages that nothing else needs. Pictures of
# it are kept in SCREENSHOTS.
SCREENSHOTS ?= build/screenshots
browser: setup
	@scripts/install_packages.sh chromium
	MCUFORMER_SCREENSHOTS=$(CURDIR)/$(SCREENSHOTS) $(PYTHON) -m pytest \
	  tests/mcuformer_tflm/task/page/test_page_in_browser.py

# Arena, file and constants of 200 random subnets, converted; a few minutes.
sizes: setup
	MCUFORMER_RANDOM_SUBNETS=200 $(PYTEST) --dist load \
	  tests/mcuformer_tflm/convert/test_random_subnets.py

# The operators' tests with ASan and UBSan in our library; TFLM's own is not instrumented.
sanitize: setup
	$(VENV)/bin/cmake -S custom_ops -B build/cmake-sanitize -G Ninja -DMCUFORMER_SANITIZE=ON \
	  -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(VENV)/bin/ninja \
	  -DCMAKE_LIBRARY_OUTPUT_DIRECTORY=$(CURDIR)/build/lib-sanitize > build/cmake.log 2>&1
	$(VENV)/bin/cmake --build build/cmake-sanitize
	MCUFORMER_LIBRARY=$(CURDIR)/build/lib-sanitize/libmcuformer_ops.so \
	  LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libubsan.so)" \
	  ASAN_OPTIONS=detect_leaks=0 $(PYTHON) -m pytest tests/custom_ops \
	    tests/mcuformer_tflm/runtime/test_arena_planner.py
	MCUFORMER_LIBRARY=$(CURDIR)/build/lib-sanitize/libmcuformer_ops.so MCUFORMER_MUTANTS=330 \
	  LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libubsan.so)" \
	  ASAN_OPTIONS=detect_leaks=0 $(PYTHON) -m pytest -k no_mutant_is_lost \
	    tests/mcuformer_tflm/bench/test_hostile_models_campaign.py

# libFuzzer on each C++ target and Atheris, which is libFuzzer for Python, on each reader of files,
# SECONDS each, a target a core. A SEED gives the same inputs in the same order; without one they are
# new each time. It goes on from what an earlier run has found; an input that fails
# is kept in build/fuzz. What is mended goes into a corpus, which `make test` replays.
FUZZ := build/cmake-fuzz
FUZZ_OPTIONS := -max_total_time=$(SECONDS) -timeout=20 -rss_limit_mb=3000 -print_final_stats=1 \
  $(if $(SEED),-seed=$(SEED))
FUZZED := options operators planner
FUZZED_READERS := board card checkpoint idx log metadata model npz plan recipe run wav
fuzz: setup
	@scripts/install_packages.sh clang-14 libclang-rt-14-dev
	@$(PYTHON) -m pip install --quiet atheris==3.0.0
	@mkdir -p $(addprefix build/fuzz/,$(FUZZED) $(FUZZED_READERS))
	$(VENV)/bin/cmake -S custom_ops -B $(FUZZ) -G Ninja -DMCUFORMER_FUZZ=ON \
	  -DCMAKE_CXX_COMPILER=clang++-14 -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(VENV)/bin/ninja \
	  > build/cmake.log 2>&1 || (cat build/cmake.log; exit 1)
	$(VENV)/bin/cmake --build $(FUZZ) --target $(addprefix fuzz_,$(FUZZED))
	{ for target in $(FUZZED); do echo "$(FUZZ)/fuzz/fuzz_$$target -max_len=1024 \
	      -artifact_prefix=build/fuzz/$$target- build/fuzz/$$target custom_ops/fuzz/corpus/$$target"; done; \
	  for reader in $(FUZZED_READERS); do echo "$(PYTHON) scripts/fuzz_reader.py $$reader \
	      -artifact_prefix=build/fuzz/$$reader- build/fuzz/$$reader tests/fuzz/corpus/$$reader"; done; \
	} | xargs -P $$(nproc) -I COMMAND sh -c \
	  '$(if $(SEED),PYTHONHASHSEED=$(SEED)) COMMAND $(FUZZ_OPTIONS) > build/fuzz/$$$$.log 2>&1 || { tail -40 build/fuzz/$$$$.log; exit 1; }'

SUITES = $(shell $(PYTHON) -c "from mcuformer_tflm.bench import SUITES; print(*SUITES)")
bench: setup
	set -e; for suite in $(SUITES); do \
	  $(VENV)/bin/mcuformer bench $$suite --json build/bench/$$suite.json; \
	done

CPP_SOURCES = $(shell git ls-files '*.h' '*.cc')

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache --no-logo
	clang-format --dry-run --Werror $(CPP_SOURCES)

format: setup
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	clang-format -i $(CPP_SOURCES)

# What cannot run here is left out, with the reason that its page gives.
pages: setup
	$(PYTHON) scripts/run_pages.py

site: $(VENV)/.packages
	scripts/build_site.sh

wheel: $(VENV)/.packages
	scripts/build_wheel.sh dist

# Asks for known faults of what requirements.lock names; needs PyPI's or OSV's records of them.
audit: setup
	python3 -m venv build/audit
	build/audit/bin/pip install --quiet pip-audit
	build/audit/bin/pip-audit --requirement requirements.lock --require-hashes --disable-pip

clean:
	rm -rf build dist
