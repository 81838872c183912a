# Two commands on a fresh machine: `make demo` and `make test`. Each makes .venv the first time; afterwards a stamp file says that it is up to date.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --constraint constraints.txt
ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help demo test test-torch check lab docs wheel browser clean

help:
	@echo "make demo   diagnose real transformers models, write HTML reports, run the quickstart notebook"
	@echo "make test   format, lint, types, layers, tests with coverage: what CI runs"
	@echo "make check  the same without the tests"
	@echo "make lab    open the quickstart in JupyterLab"
	@echo "make docs   the site, with every link checked, in build/site"
	@echo "make wheel  the wheel, tried in an environment of its own, in dist"
	@echo "make test-torch TORCH=2.14.1   the tests without browser, with another torch"
	@echo "make clean  remove .venv and what the commands wrote"

demo: $(STAMP)
	$(BIN)/python notebooks/demo.py

test: check browser
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal --cov

# Another torch, in an environment of its own: several GB, so one at a time, and not in CI.
TORCH ?= 2.14.1
OTHER := build/torch-$(TORCH)
test-torch:
	test -x $(OTHER)/bin/python || $(PYTHON) -m venv $(OTHER)
	grep -v '^torch==' constraints.txt > $(OTHER)/constraints.txt
	$(OTHER)/bin/python -m pip install --constraint $(OTHER)/constraints.txt torch==$(TORCH) --editable '.[dev]'
	$(OTHER)/bin/python -m pytest --ignore tests/ui

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The site reads docstrings without importing them, so it needs no torch.
DOCS := build/docs
docs: $(DOCS)/.installed
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --quiet

$(DOCS)/.installed: pyproject.toml
	test -x $(DOCS)/bin/python || $(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet 'mkdocs-material>=9.7' 'mkdocstrings-python>=2' 'mkdocs-jupyter>=0.25'
	@touch $@

wheel:
	$(PYTHON) benchmarks/wheel.py

lab: $(STAMP)
	$(BIN)/jupyter lab $(ROOT) notebooks/01_quickstart.ipynb

# torch goes first and through the constraints, so that no other package's open range picks another build of it.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "onnx_debug needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "Could not make $(VENV). On Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV), once; this takes some minutes."
	@$(PIP) torch || { echo "Could not install torch as constraints.txt asks for it. Is a package index within reach?" >&2; exit 1; }
	@$(PIP) --editable '.[dev]' || { echo "Could not install onnx_debug's dependencies; pip's message above names the one." >&2; exit 1; }
	@touch $@

# Browser tests drive Debian's Chromium. Without it they are skipped, and say so.
browser:
	@command -v chromium >/dev/null || \
	{ test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "Installing chromium for the browser tests." && \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null </dev/null; } || \
	echo "No chromium, and it could not be installed: the browser tests will be skipped (apt-get install chromium)." >&2

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache demo_output
