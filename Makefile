# make run | test | test-slow | check | docs | bench | load | clean; README.md says what each one does.
.DEFAULT_GOAL := help
SHELL := /bin/sh

VENV := .venv
BIN := $(VENV)/bin
# Where `make run` serves.
HOST ?= 127.0.0.1
PORT ?= 8000
export HOST PORT
# uv makes tox environments in seconds; `make test TOX_UV=` uses pip.
TOX_UV ?= tox-uv
export UV_PYTHON_DOWNLOADS ?= never
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Tests start hundreds of processes; without bytecode each of them, and each worker of pytest, compiles all modules anew.
export PYTHONDONTWRITEBYTECODE =

# Evaluated by the recipes that need it only: the folders of the interpreters for PATH, and the tox environments. With all
# extras on the oldest and on the newest interpreter; without any on one between them, which proves that the core needs none.
PY_FOLDERS = $(shell tools/pythons.sh | xargs -n 1 dirname | tr '\n' :)
PYS = $(shell for python in $$(tools/pythons.sh); do $$python -c 'import sys; print("py%d%d" % sys.version_info[:2])'; done)
OLDEST = $(firstword $(PYS))
NEWEST = $(lastword $(PYS))
BETWEEN = $(firstword $(filter-out $(OLDEST) $(NEWEST),$(PYS)) $(OLDEST))
TOX = PATH="$(PY_FOLDERS)$$PATH" $(BIN)/tox run -q --colored no --no-list-dependencies

.PHONY: help run test test-slow test-setup check docs bench load clean

help:
	@echo "make run        serve the reference backend on http://$(HOST):$(PORT); WORKERS=2 with REDIS_URL and DATABASE_URL"
	@echo "make test       all tests but the slow ones, against the built wheel, with all extras and without; lint, types, docs"
	@echo "make test-slow  the slow tests: real servers, browsers, load; the newest interpreter; the oldest versions of what we need"
	@echo "make check      lint, types and core tests of the work tree but for the slow ones, in two minutes"
	@echo "make docs       the pages of docs/ and the API reference in .site; a warning is an error"
	@echo "make bench      served requests per second, microseconds, megabytes redacted, beside others; memory under load"
	@echo "make load       k6 against the reference backend with and without the library: latency, errors, processor time; SHORT=1 for CI"
	@echo "make clean      remove everything that these made"

run: $(VENV)/.run
	@exec $(BIN)/python -m examples.divan

test: test-setup
	$(TOX) -e lint,types,docs,$(OLDEST)-all,$(BETWEEN)-core

test-slow: test-setup
	$(TOX) -e growth,natives-oldest,tracing-oldest,frameworks-oldest,socketio-oldest,$(OLDEST)-all-slow,$(NEWEST)-all

test-setup: $(VENV)/.tox
	@tools/ensure_servers.sh

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	DIVAN_TESTS=core $(BIN)/pytest -q -m "not slow" --hypothesis-profile=quick -n 2 --dist worksteal --ignore tests/redaction/test_growth.py

docs: $(VENV)/.docs
	$(BIN)/mkdocs build

bench: $(VENV)/.tox
	$(TOX) -e bench

# By its own interpreter and not by tox, which kills what does not end within half a second of Ctrl-C.
load: $(VENV)/.load
	@tools/ensure_servers.sh
	@exec $(BIN)/python -m benchmarks.load $(if $(filter-out 0,$(SHORT)),--short)

clean:
	rm -rf $(VENV) .node .newest .run .site .tox build dist *.egg-info .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@python=$$(tools/pythons.sh | head -n 1) && test -n "$$python" && "$$python" -m venv $(VENV)

# A stamp is older than setup.cfg when the requirements may have changed.
$(VENV)/.run: setup.cfg pyproject.toml | $(BIN)/python
	@echo "Installing the package and what its example needs into $(VENV); the first time takes a minute"
	@$(BIN)/python -m pip install -qq -e '.[example]'
	@touch $@

$(VENV)/.dev: setup.cfg pyproject.toml | $(BIN)/python
	@echo "Installing the package and what its tests need into $(VENV); the first time takes a minute"
	@$(BIN)/python -m pip install -qq -e '.[test-all,dev]'
	@touch $@ $(VENV)/.run

$(VENV)/.load: setup.cfg pyproject.toml | $(BIN)/python
	@echo "Installing the package and what its load tests need into $(VENV); the first time takes a minute"
	@$(BIN)/python -m pip install -qq -e '.[load]'
	@touch $@

$(VENV)/.docs: setup.cfg pyproject.toml | $(BIN)/python
	@echo "Installing what the documentation needs into $(VENV)"
	@$(BIN)/python -m pip install -qq -e '.[docs]'
	@touch $@

$(VENV)/.tox: setup.cfg | $(BIN)/python
	@echo "Installing tox into $(VENV)"
	@$(BIN)/python -m pip install -qq 'tox>=4.30' $(TOX_UV)
	@touch $@
