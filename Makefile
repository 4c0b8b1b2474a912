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

# What a caller may say: make submit DATA=folder NAME=first ARGS="--set predict.tta=false"
DATA ?=
NAME ?=
ARGS ?=
DATA_OPTION = $(if $(DATA),--data "$(DATA)")
NAME_OPTION = $(if $(NAME),--name "$(NAME)")

.PHONY: help
help: ## show this list
	@echo "make TARGET [DATA=folder] [NAME=name] [ARGS='more options'] [PYTHON=python3.12]"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(STAMP) ## make .venv with exactly the versions in requirements.lock

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

.PHONY: submit
submit: setup ## predict the test images and write submissions/NAME
	$(RUN) submit $(DATA_OPTION) $(NAME_OPTION) $(ARGS)

.PHONY: score
score: setup ## score a submission (ARGS="…", see .venv/bin/kaggle-dsb score --help)
	$(RUN) score $(DATA_OPTION) $(NAME_OPTION) $(ARGS)

.PHONY: data
data: setup ## get the competition's files into DATA
	$(RUN) data $(DATA_OPTION) $(ARGS)

.PHONY: train
train: setup ## train the networks on DATA
	$(RUN) train $(DATA_OPTION) $(NAME_OPTION) $(ARGS)

.PHONY: validate
validate: setup ## score the networks on the images they did not see in training
	$(RUN) validate $(DATA_OPTION) $(NAME_OPTION) $(ARGS)

.PHONY: lock
lock: setup ## remake requirements.lock from pyproject.toml (ARGS=--upgrade for newer versions)
	$(BIN)/uv pip compile --no-config --quiet --universal --python-version 3.11 --all-extras \
		--generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" --output-file $(LOCK) $(ARGS) pyproject.toml

.PHONY: clean
clean: ## remove .venv, caches and built files; data, runs and submissions stay
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find kaggle_dsb tests -name __pycache__ -type d -prune -exec rm -rf {} +
