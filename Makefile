# `make quickstart` and `make test` are the two commands a newcomer needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PIP    := $(BIN)/python -m pip install --quiet --constraint constraints.txt

# torch is chosen, not resolved: a CPU build of this release satisfies constraints.txt.
TORCH  := 2.13.0
# The releases that test-oldest and the targets of the newest releases install first. On a machine without a GPU, pip
# must be led to a CPU build before it may choose among them: the GitHub workflow does so, with pyproject.toml's floor.
TORCH_OLDEST ?= torch==$(TORCH)
TORCH_NEWEST ?= torch==$(TORCH)
# What constraints.txt holds: the extras that the targets below install.
EXTRAS := dev space browser deepspeed text serving wandb

# The suite in as many processes as there are cores, a file of tests in one of them: each loads torch, hence at most four.
SUITE := -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: install lock quickstart test test-slow test-slow-ci test-browser test-real test-oldest test-newest smoke-newest \
	dist docs lint format clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable ".[dev]"
	touch $(STAMP)

# Versions of the closure on Python 3.11 and newer, on every platform. CUDA packages come with the builds of torch that
# need them, so they are left out; all else is what uv resolves. The header is ours, so that the file names no index.
lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv
	printf 'torch==$(TORCH)\nsetuptools\nwheel\nninja\n' | .venv-lock/bin/uv pip compile --quiet --universal \
		--python-version 3.11 --upgrade --no-header --no-annotate $(EXTRAS:%=--extra %) pyproject.toml - \
		--output-file .venv-lock/resolved.txt
	{ echo "# The exact versions that were tested. Written by \`make lock\`; pyproject.toml has the ranges."; \
		grep -Ev '^(nvidia-|cuda-|triton)' .venv-lock/resolved.txt; } > constraints.txt

quickstart: install
	$(BIN)/python -m hf_llmrec.cli quickstart --output_dir outputs/quickstart

test: install
	$(BIN)/python $(SUITE)

test-slow: install
	$(PIP) setuptools wheel ninja
	$(PIP) --no-build-isolation --editable ".[dev,deepspeed,text,serving,wandb]"
	$(BIN)/python -m pytest -m slow

# The slow tests that .ci/run has time for.
test-slow-ci: install
	$(BIN)/python -m pytest -m "slow and ci"

test-browser: install
	$(PIP) --editable ".[dev,space,browser]"
	$(BIN)/python -m pytest -m browser

test-real: install
	$(PIP) --editable ".[dev,serving]"
	$(BIN)/python -m pytest -m realdata

# The lowest versions that pyproject.toml admits, all at once, in a fresh environment.
test-oldest:
	$(PYTHON) -m venv --clear .venv-oldest
	.venv-oldest/bin/python .ci/lowest_versions.py dev > .venv-oldest/lowest.txt
	.venv-oldest/bin/python -m pip install --quiet "$(TORCH_OLDEST)"
	.venv-oldest/bin/python -m pip install --quiet --constraint .venv-oldest/lowest.txt --editable ".[dev]"
	.venv-oldest/bin/python $(SUITE)

# The newest versions that pyproject.toml admits, whatever constraints.txt says, in a fresh environment.
test-newest:
	$(PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/python -m pip install --quiet "$(TORCH_NEWEST)"
	.venv-newest/bin/python -m pip install --quiet --editable ".[dev]"
	.venv-newest/bin/python $(SUITE)

# Of the newest versions the base install alone (and what tests/conftest.py imports), with one test of each thing that
# users do.
smoke-newest:
	$(PYTHON) -m venv --clear .venv-smoke
	.venv-smoke/bin/python -m pip install --quiet "$(TORCH_NEWEST)"
	.venv-smoke/bin/python -m pip install --quiet --editable . pytest hypothesis
	.venv-smoke/bin/python -m pip list
	.venv-smoke/bin/python -m pytest tests/smoke

# The source distribution, the wheel that is built from it, and what a user of the wheel sees.
dist: install
	rm -rf build dist
	$(BIN)/python -m build
	$(PYTHON) -m venv --clear .venv-dist
	.venv-dist/bin/python -m pip install --quiet twine
	.venv-dist/bin/python -m twine check --strict dist/*
	.venv-dist/bin/python -m pip install --quiet --constraint constraints.txt torch
	.venv-dist/bin/python -m pip install --quiet --constraint constraints.txt dist/*.whl
	cd dist && ../.venv-dist/bin/hf-llmrec doctor

docs: install
	$(BIN)/python docs/build_api.py outputs/docs

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(VENV)-* build dist *.egg-info outputs
