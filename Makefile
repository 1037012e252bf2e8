# `make demo` and `make test` each do all their own set-up: a .venv with the pinned packages, then their job.
PYTHON ?= python3
FOLDERS = reference torch_impl weights_export parity_tests ports
BIN := .venv/bin
PYTEST_ARGS ?=
# Two test workers of one thread each: threads that spin for work would slow the other worker down.
THREADS ?= 1
PYTEST = OMP_NUM_THREADS=$(THREADS) OPENBLAS_NUM_THREADS=$(THREADS) $(BIN)/python -m pytest \
	--numprocesses=2 --dist=worksteal $(PYTEST_ARGS)

.PHONY: setup setup-ports setup-explorer explorer demo test test-thorough check format bench report vectors atlas mutation clean

setup: .venv/installed

# What the C and JavaScript ports are built, run and checked with, where it is missing: Debian's packages.
setup-ports:
	@for tool in gcc make node valgrind; do command -v $$tool >/dev/null || missing=1; done; \
	[ -f /usr/include/cjson/cJSON.h ] || missing=1; [ -z "$$missing" ] || \
	{ apt-get update -qq && apt-get install -y -qq gcc make libcjson-dev valgrind nodejs; }

# What the explorer is tested with, where it is missing: Debian's Chromium, and from npm what builds page.js and axe-core.
setup-explorer:
	@missing=; for tool in chromium node npm; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	[ -z "$$missing" ] || { apt-get update -qq && apt-get install -y -qq $$(echo "$$missing" | sed 's/ node\b/ nodejs/'); }
	@cd ports/explorer && npm ci --ignore-scripts --no-audit --no-fund --silent

demo: .venv/installed
	@$(BIN)/python -m parity_tests side-by-side

test: check
	HYPOTHESIS_PROFILE=ci $(PYTEST)

test-thorough: check
	HYPOTHESIS_PROFILE=thorough $(PYTEST)

check: .venv/installed
	$(BIN)/ruff check $(FOLDERS)
	$(BIN)/ruff format --check $(FOLDERS) *.md
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: .venv/installed
	$(BIN)/ruff check --fix $(FOLDERS)
	$(BIN)/ruff format $(FOLDERS) *.md

bench: .venv/installed
	@$(BIN)/python -m parity_tests bench --markdown BENCHMARKS.md

explorer: .venv/installed
	@$(BIN)/python -m ports explorer ports/tiny_bundle -o explorer.html

report: .venv/installed
	@$(BIN)/python -m parity_tests report --html report.html

vectors: .venv/installed
	$(BIN)/python -m ports.vectors.generate

atlas: .venv/installed
	$(BIN)/python -m ports.atlas

mutation: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,mutation]'
	$(BIN)/python -m parity_tests.mutation

# The stamp is written last: an interrupted install is done again.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache *.egg-info
