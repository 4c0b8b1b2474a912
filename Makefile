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

# What a caller may say: make submit DATA=folder NAME=first ARGS="--set prediction.tta=none"
DATA ?=
NAME ?=
ARGS ?=
MESSAGE ?=
WEIGHTS ?=
PROFILE ?=
DATA_OPTION = $(if $(DATA),--data "$(DATA)")
NAME_OPTION = $(if $(NAME),--name "$(NAME)")
PROFILE_OPTION = $(if $(PROFILE),--config "kaggle_dsb/profiles/$(PROFILE).toml")
WEIGHTS_OPTION = $(if $(WEIGHTS),--weights "$(WEIGHTS)")
MESSAGE_OPTION = $(if $(MESSAGE),--message "$(MESSAGE)")

.PHONY: help
help: ## show this list
	@echo "make TARGET [DATA=folder] [NAME=name] [ARGS='more options'] [PYTHON=python3.12]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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
	$(RUN) submit $(DATA_OPTION) $(NAME_OPTION) $(WEIGHTS_OPTION) $(ARGS)

.PHONY: score
score: setup ## score a submission (ARGS="…", see .venv/bin/kaggle-dsb score --help)
	$(RUN) score $(DATA_OPTION) $(NAME_OPTION) $(ARGS)

.PHONY: train
train: setup ## train the networks on DATA (PROFILE=gpu: the larger ensemble, on a GPU)
	$(RUN) train $(DATA_OPTION) $(NAME_OPTION) $(PROFILE_OPTION) $(ARGS)

.PHONY: tune
tune: setup ## tune how probabilities become nuclei, and grow the second level, nested by fold
	$(RUN) tune $(DATA_OPTION) $(WEIGHTS_OPTION) $(ARGS)

.PHONY: diagnose
diagnose: setup ## say where the out-of-fold score goes, and draw the worst images
	$(RUN) diagnose $(DATA_OPTION) $(WEIGHTS_OPTION) $(ARGS)

.PHONY: robustness
robustness: setup ## score held-out images that are rescaled, darkened, blurred ... (ARGS="--every 8")
	$(RUN) robustness $(DATA_OPTION) $(WEIGHTS_OPTION) $(ARGS)

.PHONY: experiment
experiment: setup ## try a variation NAME (ARGS="--against runs/best --set key=value"), log it
	@[[ -n "$(NAME)" && "$(ARGS)" == *--set* ]] || { \
		echo "say what: make experiment NAME=wider ARGS='--set augment.crop_px=256'" >&2; exit 2; }
	$(RUN) experiment "$(NAME)" $(DATA_OPTION) $(ARGS)

.PHONY: validate
validate: setup ## score the networks on the images they did not see in training
	$(RUN) validate $(DATA_OPTION) $(WEIGHTS_OPTION) $(ARGS)

.PHONY: report
report: setup ## write submissions/NAME/report.html (ARGS=--oof: on the out-of-fold predictions)
	$(RUN) report $(NAME) $(DATA_OPTION) $(ARGS)

.PHONY: compare
compare: setup ## tell whether B is better than A: make compare A=old.csv B=new.csv
	$(RUN) compare "$(A)" "$(B)" $(ARGS)

.PHONY: leaderboard
leaderboard: setup ## rank the local submissions among the known marks of 2018
	$(RUN) leaderboard $(ARGS)

.PHONY: gallery
gallery: setup ## draw the training images by type and fold into pictures/ (ARGS=--groups)
	$(RUN) gallery $(DATA_OPTION) $(ARGS)

.PHONY: curves
curves: setup ## draw the training curves of runs/NAME
	$(RUN) curves $(if $(NAME),"runs/$(NAME)") $(ARGS)

.PHONY: data
data: setup ## download what is missing of the competition's files into DATA, and prepare them
	$(RUN) download $(DATA_OPTION) $(ARGS)
	$(RUN) data $(DATA_OPTION)

.PHONY: bundle
bundle: setup ## build what a Kaggle kernel needs into build/bundle (ARGS="--weights runs/mine")
	$(RUN) bundle $(ARGS)

.PHONY: bundle-push
bundle-push: setup ## put build/bundle on Kaggle as a data set, or as its next version
	$(RUN) bundle-push $(ARGS)

.PHONY: push
push: setup ## build and push the bundle, push kernel NAME (submit or train), wait, fetch its output
	@[[ -n "$(NAME)" ]] || { echo "name the kernel: make push NAME=submit (or train)" >&2; exit 2; }
	$(RUN) bundle $(WEIGHTS_OPTION)
	$(RUN) bundle-push
	$(RUN) push "$(NAME)" $(ARGS)

.PHONY: kaggle-submit
kaggle-submit: setup ## check submissions/NAME, hand it in on Kaggle with MESSAGE, write its scores
	@[[ -n "$(NAME)" && -n "$(MESSAGE)" ]] || { \
		echo "say what: make kaggle-submit NAME=first MESSAGE='lite0, 4 folds'" >&2; exit 2; }
	$(RUN) kaggle-submit $(DATA_OPTION) $(NAME_OPTION) $(MESSAGE_OPTION) $(ARGS)

.PHONY: lock
lock: setup ## remake requirements.lock from pyproject.toml (ARGS=--upgrade for newer versions)
	$(BIN)/uv pip compile --no-config --quiet --universal --python-version 3.11 --all-extras \
		--generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" --output-file $(LOCK) $(ARGS) pyproject.toml

.PHONY: clean
clean: ## remove .venv, caches and built files; data, runs and submissions stay
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find kaggle_dsb tests -name __pycache__ -type d -prune -exec rm -rf {} +
