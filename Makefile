# Every target sets up what it needs, in this folder's own .venv; a second call finds that done.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help
.PHONY: help setup quickstart studio browser test test-slow schema screenshots lint format types house docs benchmark clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
REQUIREMENTS := pyproject.toml constraints.txt
# pip prints hundreds of lines; these are the ones that tell a waiting person something.
SHOW := sed -u -n -E 's/^ *(Downloading [^ ]+ .*B\))$$/  \1/p; s/^Installing collected.*/  Installing what was fetched/p'
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
# One thread for each test process: more of them fight over the cores.
WORKERS ?= auto
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 --dist worksteal

help: ## what the targets do
	@sed -n -E 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(VENV)/.dev ## .venv with the package and everything its tests need
	@echo "$(VENV) is ready: $(BIN)/attrimorph --help"

$(VENV)/.runtime: $(REQUIREMENTS)
	@test -n "$(PYTHON)" || { echo "attrimorph needs Python 3.11 or newer; none was found"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "attrimorph needs Python 3.11 or newer; $$($(PYTHON) --version) was found; try: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 2; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { rm -rf $(VENV); $(PYTHON) -m virtualenv -q $(VENV) 2>/dev/null; } || { \
		echo "$(PYTHON) cannot make a virtual environment; install its venv module (Debian: apt install python3-venv) or virtualenv"; exit 2; }
	@$(PIP) -q 'pip>=23.1'
	@$(PIP) -e . | $(SHOW)
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@echo "Adding the tools for tests and checks"
	@$(PIP) -e '.[dev]' | $(SHOW)
	@touch $@

$(VENV)/.studio: $(VENV)/.runtime
	@echo "Adding what the studio serves with"
	@$(PIP) -e '.[studio]' | $(SHOW)
	@touch $@

$(VENV)/.docs: $(VENV)/.runtime
	@echo "Adding the tools for the documentation"
	@$(PIP) -e '.[docs]' | $(SHOW)
	@touch $@

quickstart: $(VENV)/.runtime ## draw faces, train, evaluate, edit: runs/quickstart/report.html
	@$(BIN)/attrimorph quickstart

studio: $(VENV)/.studio ## the page with sliders, on this machine
	@$(BIN)/attrimorph studio

CHROMIUM = command -v chromium || command -v chromium-browser || command -v google-chrome || command -v google-chrome-stable
# The page is tested in a real browser: Debian's, where this user may install it.
browser:
	@{ $(CHROMIUM); } >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "Adding Chromium for the tests of the studio's page"; \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
		fi; }; true
	@{ $(CHROMIUM); } >/dev/null || echo "There is no Chromium: the tests of the studio's page are LEFT OUT; install it (Debian: sudo apt install chromium)"

test: $(VENV)/.dev browser ## the tests (minutes)
	@$(PYTEST)

test-slow: $(VENV)/.dev ## the tests that take long
	@$(PYTEST) -m slow --timeout 3600

# An environment of its own: its pytest plugin would join every test run.
$(VENV)/schemathesis/bin/schemathesis: $(VENV)/.dev
	@echo "Adding schemathesis"
	@$(BIN)/python -m venv $(VENV)/schemathesis && $(VENV)/schemathesis/bin/python -m pip install -q 'schemathesis>=4.32,<5'

schema: $(VENV)/schemathesis/bin/schemathesis ## the studio's API against its own schema (minutes)
	@ATTRIMORPH_SCHEMATHESIS=$(abspath $<) $(BIN)/python -m pytest -m slow -s tests/studio/test_schema.py

screenshots: $(VENV)/.dev browser ## walk through the studio as a new user: docs/images/studio
	@$(BIN)/python -m tests.studio.walkthrough docs/images/studio $(MODELS)

lint: $(VENV)/.dev ## style, and the walls between the rooms
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## put the style right
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(VENV)/.dev ## mypy --strict
	@$(BIN)/mypy

house: $(VENV)/.dev ## the size of the house, its rooms and names, beside their bars
	@$(BIN)/python benchmarks/house.py

docs: $(VENV)/.docs ## the documentation as a web site in site/
	@$(BIN)/mkdocs build --strict

benchmark: $(VENV)/.dev ## measure what docs/benchmarks.md states
	@for file in $(filter-out benchmarks/ship.py,$(wildcard benchmarks/*.py)); do echo "== $$file"; $(BIN)/python "$$file" || exit 1; done

clean: ## remove what the targets made (not runs/)
	rm -rf $(VENV) site dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
