# Everything a newcomer needs: `make demo` and `make test` set themselves up.
# Needs Python 3.11 or newer (choose one with PYTHON=...) and nothing else.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCKED := --require-hashes --no-deps --no-compile --requirement

CHECKERS := .venv-checkers
SUPPLY := .venv-supply
DOCS := .venv-docs

# On all cores, and the same each time: not even the order of a set differs.
PYTEST := PYTHONHASHSEED=0 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

# What was compiled once is kept: without, each process of a test run compiles a thousand files anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo test check types tests quick-tests coverage fuzz simulate clients checkers docs format lock sbom audit version release clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: .venv/.installed  ## Set up .venv with what running needs: the base, embedded and engines

demo: .venv/.installed  ## Run the main job: traffic, bills, statement, report
	@$(BIN)/inferworks demo

test: .venv/bin/python  ## Run every check and test
	@$(MAKE) --no-print-directory --jobs 3 .venv/.installed-dev checkers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	@$(MAKE) --no-print-directory --jobs 2 types tests

check: .venv/bin/python  ## The quick part of the tests, for while you work
	@$(MAKE) --no-print-directory --jobs 2 .venv/.installed-dev
	$(BIN)/ruff check
	@$(MAKE) --no-print-directory --jobs 2 types quick-tests

# Beside the tests, which wait now and then for a disk or a process.
types:
	$(BIN)/mypy

tests:
	$(PYTEST) --durations 15

# What it lists at its end, on a machine that is not busy, wants the mark `slow` (pyproject.toml).
quick-tests:
	$(PYTEST) -m "not slow" --durations 10 --durations-min 0.5

# Measured code is slower, and a test of how long something takes may fail of it: `make test` judges the
# tests, and this what they run (`fail_under`).
coverage: .venv/.installed-coverage  ## Measure which branches the tests run; ONLY="tests/books -m 'not slow'" for a part
	rm -f .coverage .coverage.*
	-PYTHONHASHSEED=0 $(BIN)/python -m coverage run -m pytest --numprocesses auto --dist loadfile $(ONLY)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage html --quiet
	$(BIN)/python -m coverage report $(if $(ONLY),--fail-under 0)

fuzz: .venv/.installed-dev  ## Explore the properties at random for MINUTES=n (10)
	$(BIN)/python tools/fuzz.py $(or $(MINUTES),10)

simulate: .venv/.installed-dev  ## Live through SEEDS=n (200) of the simulated gateway and 5n of limits, or one SEED=n or LIMITS_SEED=n
	$(if $(LIMITS_SEED),,$(BIN)/python -m inferworks.simulation $(or $(SEED),1-$(or $(SEEDS),200)))
	$(if $(SEED),,$(BIN)/python -m inferworks.simulation.limits \
		$(or $(LIMITS_SEED),1-$(if $(SEEDS),$(shell expr 5 \* $(SEEDS)),1000)))

clients: .venv/.installed-dev  ## Have the clients that people use do their jobs; ONLY=names, CLIENTS=folder
	@$(BIN)/python tools/clients.py $(if $(ONLY),--only $(ONLY)) $(if $(CLIENTS),--folder $(CLIENTS)) $(OPTIONS)

checkers: .venv/bin/python  ## Set up what checks exports and the Helm chart from outside, where that can be done
	@sh tools/checkers.sh $(BIN)/python $(CHECKERS)

docs: $(DOCS)/.installed  ## Build the documentation's site into build/site; a link that leads nowhere stops it
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --quiet
	@echo build/site/index.html

format: .venv/.installed-dev  ## Lay the code out
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lock:  ## Choose the versions anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --upgrade --quiet --extra embedded --extra engines -c requirements/limits.in pyproject.toml \
	  requirements/build.in -o requirements/run.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --upgrade --quiet --extra dev -c requirements/run.txt pyproject.toml requirements/build.in \
	  -o requirements/dev.txt
	awk 'NR == FNR {locked[$$1]; next} /^[^ ]/ {keep = !($$1 in locked)} keep' \
	  requirements/run.txt requirements/dev.txt > requirements/beside.txt
	mv requirements/beside.txt requirements/dev.txt
	awk '/^[^ ]/ {keep = /^(obstore|psycopg|psycopg-binary)==/} keep' requirements/dev.txt > requirements/scale-out.txt
	for lock in checkers chart; do uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-annotate --upgrade --quiet requirements/$$lock.in -o requirements/$$lock.txt; done
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --upgrade --quiet requirements/supply.in requirements/build.in -o requirements/supply.txt
	for lock in coverage docs; do uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-annotate --upgrade --quiet requirements/$$lock.in -o requirements/$$lock.txt; done

sbom: $(SUPPLY)/.installed  ## Write what is installed with Inferworks, as CycloneDX, to dist/
	@mkdir -p dist
	$(SUPPLY)/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
	  --validate --output-file dist/inferworks.cdx.json requirements/run.txt

audit: $(SUPPLY)/.installed  ## Ask whether anything that is locked is known to be vulnerable
	set -e; for lock in run dev checkers supply coverage docs; do \
	  $(SUPPLY)/bin/pip-audit --disable-pip --require-hashes --strict -r requirements/$$lock.txt; done

version: .venv/bin/python  ## Give what is unreleased a version: make version VERSION=0.2.0
	@$(BIN)/python tools/release.py version "$(VERSION)"

release: $(SUPPLY)/.installed  ## Check, pack and try a release in dist/, with its hashes and notes; says how to tag it
	rm -rf dist build/wheel
	@$(BIN)/python tools/release.py check
	@$(MAKE) --no-print-directory sbom
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(SUPPLY)/bin/python -m build --no-isolation
	@$(PIP) install --no-deps --target build/wheel dist/inferworks-*.whl
	cd build && PYTHONPATH=wheel ../$(BIN)/python -m inferworks --version
	cd dist && sha256sum inferworks-* inferworks.cdx.json NOTES.md > SHA256SUMS
	@$(BIN)/python tools/release.py check

clean:  ## Remove what was set up
	rm -rf .venv $(CHECKERS) $(SUPPLY) $(DOCS) build .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
	  "Inferworks needs Python 3.11 or newer; this is " + sys.version.split()[0] + \
	  ". Choose another with: make PYTHON=python3.12 ...")'
	@echo "Setting up .venv (once, about a minute)"
	@$(PYTHON) -m venv .venv

# The locks name everything, so nothing is left to resolve; what is never imported need not be compiled.
.venv/.installed: requirements/run.txt pyproject.toml | .venv/bin/python
	@$(PIP) install $(LOCKED) requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# Beside it, so that two processors unpack at once: no package is in both locks.
.venv/.installed-dev: .venv/.installed .venv/.installed-tools
	@touch $@

.venv/.installed-tools: requirements/dev.txt | .venv/bin/python
	@$(PIP) install $(LOCKED) requirements/dev.txt
	@touch $@

.venv/.installed-coverage: requirements/coverage.txt .venv/.installed-dev
	@$(PIP) install $(LOCKED) requirements/coverage.txt
	@touch $@

$(DOCS)/.installed: requirements/docs.txt | .venv/bin/python
	@$(BIN)/python -m venv $(DOCS)
	@$(DOCS)/bin/python -m pip --disable-pip-version-check --quiet install $(LOCKED) $<
	@touch $@

$(SUPPLY)/.installed: requirements/supply.txt | .venv/bin/python
	@$(BIN)/python -m venv $(SUPPLY)
	@$(SUPPLY)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r $<
	@touch $@
