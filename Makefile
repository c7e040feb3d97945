# Every target sets up what it needs: Python 3.11 or newer, make and git are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MLOPS_HOME ?= $(CURDIR)/.mlops
export MLOPS_HOME
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run dev serve test acceptance fuzz mutants nightly lint types bench clean lock screenshots help
help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null || true
	touch $@

run: $(VENV)/.installed  ## replay the year: features, training, scoring, reports, retraining
	$(BIN)/mlops run

dev: $(VENV)/.installed  ## Dagster UI, MLflow UI and the endpoint on 127.0.0.1; Ctrl-C stops all
	@exec $(BIN)/mlops dev

serve: $(VENV)/.installed  ## the endpoint alone, on 127.0.0.1
	@exec $(BIN)/python -m resources.serving

test: $(VENV)/.installed lint types  ## lint, types and tests
	$(BIN)/python -m pytest tests --ignore=tests/acceptance --numprocesses=auto --maxprocesses=4 --dist=loadfile --durations=20

acceptance: $(VENV)/.installed  ## the long tests: killed replays, the year's promises
	$(BIN)/python -m pytest tests/acceptance --numprocesses=2 --dist=loadfile --durations=20

SEED ?= $(shell $(PYTHON) -c 'import secrets; print(secrets.randbits(32))')
fuzz: SEED := $(SEED)
fuzz: $(VENV)/.installed  ## the tests with generated cases, on new ones; SEED=n repeats a run
	@echo "fuzz: SEED=$(SEED)"
	$(BIN)/python -m pytest tests --ignore=tests/acceptance -m hypothesis --hypothesis-profile=fuzz --hypothesis-seed=$(SEED)

mutants: $(VENV)/.installed  ## one mistake at a time in a copy of the product: a test must notice each
	$(BIN)/python -m tests.mutants

nightly: fuzz acceptance mutants bench  ## what takes longer than a commit should wait for

lint: $(VENV)/.installed  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed  ## pyright
	$(BIN)/basedpyright --level error

bench: $(VENV)/.installed  ## benchmarks, each against its peer in one run
	$(BIN)/python -m benchmarks.materialize
	$(BIN)/python -m benchmarks.online_features
	$(BIN)/python -m benchmarks.replay
	$(BIN)/python -m benchmarks.point_in_time
	$(BIN)/python -m benchmarks.audit
	$(BIN)/python -m benchmarks.skew
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.promotion

screenshots: $(VENV)/.installed  ## pictures of the UI for the README, from the state that make run left
	$(BIN)/python -m docs.screenshots

lock:  ## pin every version with hashes
	uv pip compile pyproject.toml --extra dev --extra cluster --universal --python-version 3.11 --generate-hashes \
	  --no-strip-extras --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" -q -o requirements.lock

clean:  ## remove all state
	@$(PYTHON) -m mlops_assets.commands.clean
