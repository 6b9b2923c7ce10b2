# The whole way and the tests, each in one command. PYTHON and VENV may be set: make test PYTHON=python3.12
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: quickstart test check install dev clean

quickstart: install  ## search, compress, report and export on bundled data
	$(BIN)/netwright quickstart

test: dev  ## the tests
	$(BIN)/pytest -n 2 --dist loadfile

check: dev  ## formatting, lint, types, import contracts
	$(BIN)/ruff format --check netwright tests benchmarks examples scripts
	$(BIN)/ruff check netwright tests benchmarks examples scripts
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(VENV)/.installed

dev: $(VENV)/.installed-dev

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install -e '.[dev]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
