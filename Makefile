# Run `make` to see the targets. Each makes .venv by itself; only git, make and Python (3.10 or newer, with venv) are needed.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Where the demo leaves its store: any URL of a Storage, as in make demo URL=s3://BUCKET/demo
URL    ?=
# What pytest gets besides, as in make test ARGS="-k signing -n 0"
ARGS   ?=
# More than the two cores of a small machine: tests wait for servers, stalls and expiry.
JOBS   ?= 3
# The interpreters of make test-python; by default every one that is found.
PYTHONS ?= $(foreach v,3.10 3.11 3.12 3.13,$(or $(lastword $(sort $(wildcard $(HOME)/.pyenv/versions/$(v).*/bin/python))),$(shell command -v python$(v))))

.DEFAULT_GOAL := help
.PHONY: help demo bench test coverage test-all test-browser test-python check format lint types imports docs clean

help:  ## Show the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY)  ## Store, list, read back and compare the standard library's source tree (URL=… for another store).
	@$(BIN)/python examples/demo.py $(URL)

test: $(READY)  ## Run the tests, in parallel; starts every server it needs by itself.
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

# The suites on servers are left out: they go ways that others go too, and tracing makes Python half as fast.
coverage: $(READY)  ## Run the tests with branch coverage of storage/, which has to be 95 % (report: build/coverage).
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --cov --cov-report=term --cov-report=html:build/coverage \
	  -k "not Moto and not OnAsyncio and not TestSeaweedFS and not TestGCS and not ObstoreOn" $(ARGS)

test-all: $(READY)  ## Run the long proofs: many blobs, large blobs, killed writers, more examples.
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup -m "slow and not marathon" $(ARGS)

test-marathon: $(READY)  ## Run the proofs of more than ten minutes: 20,000 blobs through four stores, with kills.
	$(BIN)/python -m pytest -m marathon $(ARGS)

test-browser: $(READY)  ## Drive the page of storage serve, and uploads to every backend, in real Chromium (installed on Debian).
	@tests/browser/install-chromium
	$(BIN)/python -m pytest -m browser tests/browser $(ARGS)

test-python: $(READY)  ## Run the tests on every Python from 3.10 to 3.13 that is found (PYTHONS=…).
	@set -e; for python in $(PYTHONS); do \
	  version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  echo "== Python $$version"; \
	  $(MAKE) --no-print-directory _test-python PYTHON=$$python VENV=.venv-$$version; \
	done

.PHONY: _test-python
_test-python: GROUP := test
_test-python: $(READY)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup -p no:cacheprovider --ignore=tests/test_typing.py $(ARGS)

bench:  ## Measure the library beside its peers and write docs/benchmarks.md (some 15 minutes; QUICK=1: a smoke test).
	@$(MAKE) --no-print-directory _bench VENV=.venv-bench

.PHONY: _bench
_bench: GROUP := bench
_bench: $(READY)
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(GROUPS)

check: $(READY) format lint types imports docs  ## Check format, lint, types, imports and docs.

format: $(READY)
	$(BIN)/ruff format --check .

lint: $(READY)
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy
	$(BIN)/mypy tests examples
	PATH="$(CURDIR)/$(BIN):$$PATH" pyright --verifytypes storage --ignoreexternal

imports: $(READY)
	$(BIN)/lint-imports

docs: $(READY)  ## Build the documentation into docs/_build/html.
	$(BIN)/python -m sphinx -q -W --keep-going -E -b html docs docs/_build/html

clean:  ## Remove what was built, .venv included.
	rm -rf .venv .venv-* build dist docs/_build .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

GROUP := dev
# An old pip knows no dependency groups, so it is the first to be upgraded.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed, not %s (PYTHON=… names another)" % sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all]' --group $(GROUP)
	@touch $(READY)
