# Run `make` to see the targets. Only git, make, bash and Python (3.10 or newer, with venv) are needed: each target makes .venv
# and installs there what it uses, once.

SHELL := bash
.SHELLFLAGS := -o pipefail -c

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
# Where the demo leaves its store: any URL of a Storage, as in make demo URL=s3://BUCKET/demo
URL    ?=
# What pytest gets besides, as in make test ARGS="-k signing -n 0"
ARGS   ?=
# More than the two cores of a small machine: tests wait for servers, stalls and expiry.
JOBS   ?= 4
PYTEST = $(BIN)/python -m pytest -o cache_dir=$(CURDIR)/$(VENV)/cache
# The tests that $(1) selects, with the options $(2). In CI, a machine that others use may once have been too slow for a timeout of
# a test: what failed runs again, alone, and has to pass.
tests = $(PYTEST) -n $(JOBS) --dist loadgroup $(1) $(2) $(ARGS) $(if $(CI),|| { echo "== what failed runs again and alone"; $(PYTEST) -n 0 --last-failed --last-failed-no-failures=none $(1) $(ARGS); })
# Compiled modules are kept, whatever the environment says: hundreds of processes that tests start would compile each again.
export PYTHONDONTWRITEBYTECODE :=
# The interpreters of make test-python and test-extras; by default every one that is found.
PYTHONS ?= $(foreach v,3.10 3.11 3.12 3.13 3.14,$(shell ls -v $(HOME)/.pyenv/versions/$(v).*/bin/python 2>/dev/null | tail -1 | grep . || command -v python$(v)))
# Those of them that can run the tests, as VERSION=PATH; of the others a line says so.
USABLE = $(foreach python,$(PYTHONS),$(or $(shell $(python) -c 'import sqlite3, ssl, sys; print("%d.%d" % sys.version_info[:2] + "=$(python)")' 2>/dev/null),$(info == $(python) is passed over: it does not run, or has no ssl or sqlite3)))
# A version that make test-python leaves out if there is another, since the tests run on it anyway: BUT=3.11
BUT    ?=
# What is the same on every Python and with every version of a package: the suites on servers, the documentation, the project's files.
ONCE := -k "not Moto and not TestSeaweedFS and not TestGCS" --ignore=tests/emulators --ignore=tests/test_docs.py --ignore=tests/test_project.py
COVER := --cov --cov-report=term --cov-report=html:build/coverage

.DEFAULT_GOAL := help
.PHONY: help demo bench test coverage test-all test-marathon test-browser test-python test-lowest test-extras check format lint types imports docs clean

help:  ## Show the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo  ## Store, list, read back and compare the standard library's source tree (URL=… for another store).
	@$(BIN)/python examples/demo.py $(URL)

test: $(VENV)/.test  ## Run the tests, in parallel; starts every server it needs by itself.
	$(call tests,)

# Without the suites on servers: they run the same code, and tracing makes Python half as fast.
coverage: $(VENV)/.test  ## Run the tests with branch coverage of storage/, which has to be 95 % (report: build/coverage).
	$(call tests,$(ONCE),$(COVER))

test-all: $(VENV)/.test  ## Run the long proofs: many blobs, large blobs, killed writers, more examples.
	$(call tests,-m "slow and not marathon")

test-marathon: $(VENV)/.marathon  ## Run the proofs of more than ten minutes: 20,000 blobs through four stores and on Ray, with kills.
	$(BIN)/python -m pytest -m marathon $(ARGS)

test-browser: $(VENV)/.browser  ## Drive the page of storage serve, uploads and the documentation in real Chromium (installed on Debian).
	@tests/browser/install-chromium
	$(BIN)/python -m pytest -m browser tests/browser $(ARGS)

# The newest Python measures the coverage: the tests run on it anyway.
test-python: .venv/.uv  ## Run the tests without those on servers on each Python that is found (PYTHONS=…), the newest with coverage.
	$(eval usable := $(USABLE))
	$(eval each := $(or $(filter-out $(BUT)=%,$(usable)),$(usable)))
	@set -e; for found in $(each); do \
	  echo "== Python $${found%%=*}"; \
	  [ $$found != $(lastword $(each)) ] || cover='$(COVER)'; \
	  $(MAKE) --no-print-directory _test-python PYTHON=$${found#*=} VENV=.venv-$${found%%=*} NEEDS=newest COVERED="$$cover"; \
	done

test-lowest: .venv/.uv  ## Run the tests without those on servers on the lowest versions that pyproject.toml allows.
	$(eval usable := $(USABLE))
	@set -e; for found in $(firstword $(usable)); do \
	  echo "== the lowest versions that pyproject.toml allows, on Python $${found%%=*}"; \
	  $(MAKE) --no-print-directory _test-python PYTHON=$${found#*=} VENV=.venv-lowest NEEDS=lowest; \
	done
	@set -e; for found in $(word 2,$(usable)); do \
	  echo "== the same for the adapters whose frameworks need a newer Python, on Python $${found%%=*}"; \
	  $(MAKE) --no-print-directory _test-python PYTHON=$${found#*=} VENV=.venv-lowest-2 NEEDS=lowest ARGS="tests/integrations $(ARGS)"; \
	done

.PHONY: _test-python
_test-python: $(VENV)/.$(NEEDS)
	$(call tests,$(ONCE),$(COVERED))

test-extras: $(VENV)/.extras  ## Install each extra alone, from the wheel, on each Python (PYTHONS=…), lowest and newest, and use it.
	PYTHONS="$(PYTHONS)" UV_CACHE_DIR=$(CURDIR)/$(VENV)/uv-cache $(call tests,-m extras tests/extras)

bench:  ## Measure the library beside its peers and write docs/benchmarks.md (some 20 minutes; QUICK=1: a smoke test).
	@$(MAKE) --no-print-directory _bench VENV=.venv-bench

# An environment of its own: the peers bring many packages.
.PHONY: _bench
_bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(GROUPS)

check: format lint types imports docs  ## Check format, lint, types, imports and docs.

format: $(VENV)/.check
	$(BIN)/ruff format --check .

lint: $(VENV)/.check
	$(BIN)/ruff check .

types: $(VENV)/.check
	$(BIN)/mypy
	$(BIN)/mypy tests examples
	$(BIN)/python -m pytest -q -m checkers tests/test_typing.py

imports: $(VENV)/.check
	$(BIN)/lint-imports

docs: $(VENV)/.docs  ## Build the documentation into docs/_build/html.
	$(BIN)/python -m sphinx -q -W --keep-going -E -b html docs docs/_build/html

clean:  ## Remove what was built, .venv included.
	rm -rf .venv .venv-* build dist docs/_build .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# ---- environments: a file $(VENV)/.NAME says that what NAME needs is installed ----------------------------------------------

# pip from 25.1 on knows dependency groups.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed, not %s (PYTHON=… names another)" % sys.version.split()[0])'
	@echo "Making $(VENV) with $(PYTHON) …"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --upgrade 'pip>=25.1'

$(VENV)/.%: pyproject.toml | $(BIN)/python
	@echo "Installing what \`make $*\` needs into $(VENV), once …"
	@$(PIP) install --progress-bar on $(NEEDS_$*) | sed -n 's/^Collecting \([^ ]*\).*/  \1/p; /^ *Downloading/p; /^Successfully/p'
	@touch $@

# uv, which .venv/.uv stands for, fills an environment in a tenth of pip's time, and resolves to the lowest versions, which pip cannot.
UV := .venv/bin/uv
# It trusts the certificates that the system does, as pip does where a company has its own.
export UV_NATIVE_TLS ?= true

$(VENV)/.newest: pyproject.toml
	@echo "Installing what \`make test\` needs into $(VENV), once …"
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	@$(UV) pip install --quiet --python $(BIN)/python $(NEEDS_test)
	@touch $@

$(VENV)/.lowest: pyproject.toml
	@echo "Installing the lowest versions of everything into $(VENV), once …"
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	@echo '-e .[all,testing,fsspec,zarr,obspec,django,opentelemetry]' | $(UV) pip compile --quiet --python $(BIN)/python \
	  --resolution lowest-direct --group test --output-file $(VENV)/lowest.txt - >/dev/null
	@$(UV) pip install --quiet --python $(BIN)/python -r $(VENV)/lowest.txt
	@touch $@

NEEDS_demo    := -e .
NEEDS_test    := -e '.[all,testing]' --group test
NEEDS_marathon := -e '.[all,testing,ray]' --group test
NEEDS_check   := $(NEEDS_test) --group check
NEEDS_uv      := --group uv
NEEDS_docs    := -e '.[all,testing]' --group docs
NEEDS_browser := $(NEEDS_test) --group browser --group docs
NEEDS_extras  := $(NEEDS_test) --group uv
NEEDS_bench   := -e '.[all,testing]' --group bench
