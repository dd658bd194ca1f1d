# Everything a newcomer needs: `make demo` and `make test` set themselves up.
# Needs Python 3.11 or newer (choose one with PYTHON=...) and nothing else.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

CHECKERS := .venv-checkers

.DEFAULT_GOAL := help
.PHONY: help install demo test check checkers format lock clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: .venv/.installed  ## Set up .venv with what running needs

demo: .venv/.installed  ## Run the main job: traffic, bills, statement, report
	@$(BIN)/inferworks demo

test: .venv/.installed-dev checkers  ## Run every check and test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest

check: .venv/.installed-dev  ## The quick part of the tests, for while you work
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow"

checkers: .venv/bin/python  ## Set up what checks the exports from outside, where that can be done
	@sh tools/checkers.sh $(BIN)/python $(CHECKERS)

format: .venv/.installed-dev  ## Lay the code out
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lock:  ## Choose the versions anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --upgrade --quiet -c requirements/limits.in pyproject.toml requirements/build.in \
	  -o requirements/run.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --upgrade --quiet --extra dev -c requirements/run.txt pyproject.toml requirements/build.in \
	  -o requirements/dev.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --upgrade --quiet requirements/checkers.in -o requirements/checkers.txt

clean:  ## Remove what was set up
	rm -rf .venv $(CHECKERS) .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
	  "Inferworks needs Python 3.11 or newer; this is " + sys.version.split()[0] + \
	  ". Choose another with: make PYTHON=python3.12 ...")'
	@echo "Setting up .venv (once, about a minute)"
	@$(PYTHON) -m venv .venv

.venv/.installed: requirements/run.txt pyproject.toml | .venv/bin/python
	@$(PIP) install --require-hashes -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.installed-dev: requirements/dev.txt .venv/.installed
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@
