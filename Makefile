# `make demo` and `make test` do everything on a fresh machine, set-up included. `make help` lists the targets.
SHELL := /bin/sh
STUDY_HOME ?= study-home
BIN := .venv/bin
READY := .venv/.ready
PATIENTS ?= 100000

.DEFAULT_GOAL := help
.PHONY: help setup demo test long ui docs check bench sweep clean

help: ## Lists these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-7s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## Makes .venv from requirements.lock (the other targets do it by themselves)

# The newest supported Python on PATH that really starts (a pyenv shim may be there and refuse).
$(READY): requirements.lock pyproject.toml
	@python=""; for name in $(PYTHON) python3.12 python3.11 python3; do \
	  if $$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1; \
	  then python=$$name; break; fi; done; \
	if [ -z "$$python" ]; then echo "restage needs Python 3.11 or 3.12 and found neither on PATH" \
	  "(python3 is $$(python3 --version 2>/dev/null || echo missing)). Install one: on Debian 12 apt install python3 python3-venv;" \
	  "on a newer Debian, whose python3 is too new, uv python install 3.12; on macOS brew install python@3.12." \
	  "Then run make again, or make PYTHON=/path/to/python3.12 if it is not on PATH." >&2; \
	  exit 1; fi; \
	echo "Setting up .venv with $$($$python --version) from requirements.lock"; \
	$$python -m venv --clear .venv || { rm -rf .venv; \
	  echo "Python has no venv module. Install it (Debian: apt install python3-venv), then run make again." >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@# uv is seven times quicker; pip knows mirrors that are set up for pip alone. Both check every hash of the lock.
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements.lock || \
	  { echo "uv could not install; trying pip, which takes longer."; \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: $(READY) ## Makes the reference study's deliveries and runs the whole line over them
	@$(BIN)/restage demo --home $(STUDY_HOME)

test: $(READY) ## Runs the tests (under ten minutes)
	@$(BIN)/python -m pytest -n 2 -m "not slow and not long"

long: $(READY) ## Runs the tests that take several whole runs each (half an hour)
	@$(BIN)/python -m pytest -n 2 -m "long and not slow"

ui: $(READY) ## Opens the Dagster UI of the study on this machine
	@$(BIN)/restage ui --home $(STUDY_HOME)

docs: $(READY) ## Builds the documentation as pages into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir site

check: $(READY) ## The gate before a commit: format, lint, types, SQL lint, tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/sqlfluff lint --processes 2 sql
	@$(MAKE) --no-print-directory test

bench: $(READY) ## Times the whole line at PATIENTS=100000 against a plain scan of the same files
	@$(BIN)/python benchmarks/bench.py --patients $(PATIENTS)

sweep: $(READY) ## Runs the long property sweeps too
	@$(BIN)/python -m pytest -n 2 -m slow

clean: ## Removes .venv, caches and the demo study
	rm -rf .venv $(STUDY_HOME) build site .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
