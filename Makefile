# Every target sets up what it needs: an environment in .venv with the pinned packages.
# One thread a process: two that spin in small matrix products cost twenty times the work on busy cores.
export OPENBLAS_NUM_THREADS = 1
export OMP_NUM_THREADS = 1
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
TESTS ?= tests
.DEFAULT_GOAL := help
export PYTHONDONTWRITEBYTECODE := 1

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Carna needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

.venv/.runtime: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/pip install -c constraints.txt -e .
	@touch $@

$(STAMP): $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/pip install -c constraints.txt -e '.[dev,peers]'
	@touch $@ .venv/.runtime

demo: .venv/.runtime  ## a virtual patient the whole way, findings and page in demo/
	$(BIN)/carna demo -o demo

check: $(STAMP)  ## format, lint, types, layers, fast tests: before each commit
	$(BIN)/ruff format --check src tests
	$(BIN)/ruff check src tests
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/pytest -q -n 2 -m "not slow and not data and not peer" $(TESTS)

test: $(STAMP)  ## everything: check, real data, peers, docs
	$(BIN)/ruff format --check src tests
	$(BIN)/ruff check src tests
	$(BIN)/lint-imports
	$(BIN)/mypy
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir site
	$(BIN)/pytest -n 2 --dist loadfile $(TESTS)

bench: $(STAMP)  ## speed beside the peers
	$(BIN)/carna bench doors
	$(BIN)/carna bench ecg

docs: $(STAMP)  ## the documentation site in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir site

clean:  ## remove what was built
	rm -rf .venv demo site dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.PHONY: help demo check test bench docs clean
