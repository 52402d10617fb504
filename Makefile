# Every target works on a machine that has Python 3.11 or newer, pip and make, and nothing else.
# PYTHON=/path/to/python3.12 chooses the interpreter; VENV=elsewhere keeps the environment elsewhere.

.DEFAULT_GOAL := help
PYTHON ?=
VENV ?= .venv
ARGS ?=
UPGRADE ?=
# Processes for the fast tests: 4 m 40 s with two (4,370 tests on 2 cores). 0 for none.
WORKERS ?= 2
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help demo test test-slow lint format bench lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

demo: $(INSTALLED) ## poison real sample data, audit it, show the verdict and the report
	$(BIN)/auditor demo $(ARGS)

test: $(INSTALLED) ## the fast tests
	$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) $(ARGS)

# The tests of the Prefect server are not shared out: they wait for each other's processes.
test-slow: $(INSTALLED) ## the others: whole gates, Great Expectations, crashes in every stage, a Prefect server
	$(BIN)/python -m pytest -m slow -n $(WORKERS) --ignore tests/flows $(ARGS)
	$(BIN)/python -m pytest -m slow tests/flows $(ARGS)

lint: $(INSTALLED) ## ruff, mypy --strict, the order of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## let ruff put the files in form
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(INSTALLED) ## our audit beside its peers, on the same rows in one run
	$(BIN)/python -m bench $(ARGS)

lock: $(INSTALLED) ## write requirements.lock anew from pyproject.toml (UPGRADE=--upgrade takes newer versions)
	$(BIN)/uv pip compile --quiet pyproject.toml --all-extras --group dev \
		--universal --fork-strategy fewest --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header \
		$(UPGRADE) --output-file requirements.lock

clean: ## remove the environment, caches and builds; .auditor/ holds evidence and stays
	! [ -f $(VENV)/pyvenv.cfg ] || rm -rf $(VENV)
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find auditor flows tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# Once, and again when the lock or pyproject.toml is newer. Nothing without a hash is installed: the
# build backend comes from the lock too. --no-deps because the lock is complete (`pip check` sees to it)
# and pip before 23.3 cannot resolve it: it looks at newer versions of what is pinned with an extra.
$(INSTALLED): requirements.lock pyproject.toml
	@set -e; found=; clear=; \
	for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python); do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "no Python 3.11 or newer ($(or $(PYTHON),python3, python3.13, python3.12, python3.11, python)): make PYTHON=/path/to/python3.11" >&2; \
		exit 2; \
	fi; \
	echo "installing requirements.lock into $(VENV) with $$($$found --version), a minute or two"; \
	$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		! [ -f $(VENV)/pyvenv.cfg ] || clear=--clear; \
		$$found -m venv $$clear $(VENV); \
	}
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip check --disable-pip-version-check >/dev/null || $(BIN)/python -m pip check
	@touch $@
