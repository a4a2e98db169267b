# `make quickstart` and `make test` are the two commands a newcomer needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: install quickstart test test-slow test-browser test-real docs lint format clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(STAMP)

quickstart: install
	$(BIN)/python -m hf_llmrec.cli quickstart --output_dir outputs/quickstart

test: install
	$(BIN)/python -m pytest

test-slow: install
	$(BIN)/python -m pip install --quiet --constraint constraints.txt setuptools wheel ninja
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable ".[dev,deepspeed,text,serving,wandb]"
	$(BIN)/python -m pytest -m slow

test-browser: install
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,space,browser]"
	$(BIN)/python -m pytest -m browser

test-real: install
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,serving]"
	$(BIN)/python -m pytest -m realdata

docs: install
	$(BIN)/python docs/build_api.py outputs/docs

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info outputs
