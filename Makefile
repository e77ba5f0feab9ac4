# Two commands are enough for a newcomer: `make demo` and `make test`. Both set everything up.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
GPU_PYTHON ?= $(BIN)/python
STAMP := $(VENV)/.tmnode-installed
JS_PEER := tests/full/js/node_modules/.package-lock.json
SOURCES := setup.py pyproject.toml $(shell find gpu/csrc -type f)

# Hundreds of processes start here; without Python's cache each would compile the whole project.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-full lint bench build gpu-check gpu-wheel clean

demo: $(STAMP)
	$(BIN)/tmnode demo

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@./.ci/run-tests $(BIN) "not full" tests/system

test-full: $(STAMP)
	@$(BIN)/python -c "import schemathesis" 2>/dev/null || $(BIN)/python -m pip install --quiet --editable ".[full]"
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(JS_PEER); fi
	@./.ci/run-tests $(BIN) "" tests/full tests/system

lint: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/tmnode bench tasks
	$(BIN)/tmnode bench api

# Everything there is to check on a GPU, beside the CPU; GPU_CHECK="--quick" takes a sample.
gpu-check: $(STAMP)
	$(BIN)/python -m gpu.check $(GPU_CHECK)

# PyCUDA from its source, in dist/gpu, for GPU_PYTHON; see docs/operations.md.
gpu-wheel: $(STAMP)
	./.ci/gpu-wheel $(GPU_PYTHON)

build: $(STAMP)

# The environment, the native kernels and the package, made again when what they come from changes.
$(STAMP): $(SOURCES)
	@./.ci/check-machine $(PYTHON)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	@rm -rf $(VENV)/lib/python3*/site-packages/trio-stubs  # of trio-typing, which libp2p pulls in: older than trio's own types, and hides them
	@touch $@

# js-libp2p, which `make test-full` talks to; without npm its tests are skipped.
$(JS_PEER): tests/full/js/package.json tests/full/js/package-lock.json
	npm ci --prefix tests/full/js --no-audit --no-fund --loglevel=error
	@touch $@

clean:
	rm -rf $(VENV) tests/full/js/node_modules build *.egg-info gpu/*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
