# Everything that is done with this project, by name. `make help` lists it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCK := requirements.lock
RUN := $(BIN)/kaggle-dsb

# The verbs of the command line; each is declared once, in cli.py.
VERBS := $(shell awk -F '"' '/^@app.command/ { print $$2 }' kaggle_dsb/cli.py)

# What a caller may say: make submit DATA=folder NAME=first ARGS="--set prediction.tta=none"
DATA ?=
NAME ?=
ARGS ?=
MESSAGE ?=
WEIGHTS ?=
PROFILE ?=
NAMED = $(if $(NAME),--name "$(NAME)")
OPTIONS = $(if $(DATA),--data "$(DATA)") $(if $(WEIGHTS),--weights "$(WEIGHTS)") \
	$(if $(PROFILE),--config "$(PROFILE)") $(if $(MESSAGE),--message "$(MESSAGE)")

.PHONY: help
help: ## show this list
	@echo "make TARGET [DATA=folder] [NAME=name] [WEIGHTS=folder] [PROFILE=gpu] [ARGS='more options']"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "The verbs of the command line; make VERB ARGS=--help tells what each takes:"
	@awk -F '"' '/^@app\.command/ { verb = $$2 } /^    """/ && verb { \
		printf "  %-14s %s\n", verb, $$4; verb = "" }' kaggle_dsb/cli.py

.PHONY: setup
setup: $(STAMP) ## make .venv with the versions in requirements.lock (PYTHON=python3.12)

# pip is used once, for the locked uv with its hashes; uv installs the rest.
$(STAMP): $(LOCK) pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) must be Python 3.11 or newer; choose another: make setup PYTHON=python3.12" >&2; \
		exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	awk '/^uv==/ { inside = 1 } inside { print } inside && !/\\$$/ { exit }' $(LOCK) > $(VENV)/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(VENV)/uv.lock
	$(BIN)/uv pip install --no-config --python $(BIN)/python --require-hashes -r $(LOCK)
	$(BIN)/uv pip install --no-config --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: check
check: setup ## formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

.PHONY: format
format: setup ## format the code and repair what lint can repair
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: test
test: setup ## run the tests and the docstrings' examples (ARGS="-k rle")
	$(BIN)/pytest $(ARGS)

.PHONY: $(VERBS)
$(filter-out data,$(VERBS)): setup
	$(RUN) $@ $(NAMED) $(OPTIONS) $(ARGS)

# These take their names as arguments.
report experiment push fetch: NAMED = $(if $(NAME),"$(NAME)")
curves: NAMED = $(if $(NAME),"runs/$(NAME)")
compare: NAMED = $(if $(A),"$(A)") $(if $(B),"$(B)")

data: setup ## download what is missing of the competition's files into DATA, and prepare them
	$(RUN) download $(OPTIONS) $(ARGS)
	$(RUN) data $(OPTIONS)

.PHONY: diagnose
diagnose: setup ## validate, tell where the score goes, and draw the worst images
	$(RUN) validate --errors $(OPTIONS) $(ARGS)

.PHONY: robustness
robustness: setup ## validate on images that are rescaled, darkened, blurred ... (ARGS="--every 8")
	$(RUN) validate --disturbed $(OPTIONS) $(ARGS)

.PHONY: lock
lock: setup ## remake requirements.lock from pyproject.toml (ARGS=--upgrade for newer versions)
	$(BIN)/uv pip compile --no-config --quiet --universal --python-version 3.11 --all-extras \
		--generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" --output-file $(LOCK) $(ARGS) pyproject.toml

.PHONY: clean
clean: ## remove .venv, caches and built files; data, runs and submissions stay
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find kaggle_dsb tests -name __pycache__ -type d -prune -exec rm -rf {} +
