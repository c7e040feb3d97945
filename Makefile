# Every target sets up what it needs: Python 3.11 or newer, make and git are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MLOPS_HOME ?= $(CURDIR)/.mlops
export MLOPS_HOME
export PYTHONDONTWRITEBYTECODE :=

.PHONY: setup run dev live monitoring cluster serve test acceptance fuzz mutants chaos nightly lint types bench clean lock screenshots help
help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps
# Of these a run imports at least four fifths of their code, mostly in several processes at once; the others are compiled by their first import.
COMPILED := alembic dagster dagster_shared evidently fastapi nltk polars pydantic sqlalchemy

$(VENV)/.uv: requirements.lock
	$(PYTHON) -m venv $(VENV)
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.txt
	touch $@

$(VENV)/.installed: $(VENV)/.uv pyproject.toml
	$(UV) --require-hashes -r requirements.lock
	$(UV) --no-build-isolation -e .
	$(BIN)/python -m compileall -q -j 0 $(addprefix $(VENV)/lib/python*/site-packages/,$(COMPILED))
	touch $@

$(VENV)/.development: $(VENV)/.installed requirements-dev.lock
	$(UV) --require-hashes -r requirements-dev.lock
	touch $@

setup: $(VENV)/.installed  ## the environment in .venv, and nothing else

run: $(VENV)/.installed  ## replay the year: features, training, scoring, reports, retraining
	$(BIN)/mlops run

dev: $(VENV)/.installed  ## Dagster UI, MLflow UI and the endpoint on 127.0.0.1; Ctrl-C stops all
	@exec $(BIN)/mlops dev

live: $(VENV)/.installed  ## what dev starts, with a fast clock, data that arrives and customers that ask; Ctrl-C ends it
	@exec $(BIN)/mlops live

monitoring: $(VENV)/.installed  ## Prometheus, Alertmanager and the exporter on 127.0.0.1, beside make dev; Ctrl-C stops all
	@exec $(BIN)/mlops monitoring

cluster: $(VENV)/.development  ## the parts of production on 127.0.0.1: PostgreSQL, Redis, S3, MLflow, Dagster's servers, the endpoint
	@exec $(BIN)/mlops cluster up

serve: $(VENV)/.installed  ## the endpoint alone, on 127.0.0.1
	@exec $(BIN)/python -m resources.serving

# What the tests write lies in memory where there is room for it, until they have passed: a flush costs no wait there, and a tenth less CPU.
ROOM = $(shell df --output=avail /dev/shm 2>/dev/null | awk 'NR == 2 && $$1 > 8000000 {print "/dev/shm"}')
PYTEST := $(BIN)/python -m pytest --dist=loadfile --durations=20
test: $(VENV)/.development lint types  ## lint, types and the tests that need no process of their own for longer than seconds
	folder=$$(mktemp -d $(or $(ROOM),$${TMPDIR:-/tmp})/mlops-tests.XXXXXX) && POLARS_MAX_THREADS=1 PYTEST_DEBUG_TEMPROOT=$$folder $(PYTEST) tests --ignore=tests/acceptance -m "not nightly" --numprocesses=auto --maxprocesses=4 && rm -rf $$folder

acceptance: $(VENV)/.development  ## the long tests: servers, daemons, browsers, replays and what is killed
	$(PYTEST) tests/acceptance -m "not nightly" --numprocesses=3

SEED ?= $(shell $(PYTHON) -c 'import secrets; print(secrets.randbits(32))')
fuzz: SEED := $(SEED)
fuzz: $(VENV)/.development  ## the tests with generated cases, on new ones; SEED=n repeats a run
	@echo "fuzz: SEED=$(SEED)"
	$(BIN)/python -m pytest tests -m hypothesis --hypothesis-profile=fuzz --hypothesis-seed=$(SEED)

mutants: $(VENV)/.development  ## one mistake at a time in a copy of the product: a test must notice each
	$(BIN)/python -m tests.mutants

MINUTES ?= 30
chaos: SEED := $(SEED)
chaos: $(VENV)/.development  ## a walk over the faults of production on a cluster at work; SEED=n repeats it, MINUTES=n is how long it goes on
	$(BIN)/python -m tests.chaos --seed $(SEED) --minutes $(MINUTES)

# What works over tests/parts.py: the same tests over a laptop's parts, with `make acceptance`, and over a cluster's.
ON_BOTH := $(addprefix tests/acceptance/,test_promotion_record.py test_skipping.py)
nightly: fuzz acceptance mutants bench  ## what takes longer than a change should wait for
	$(BIN)/python -m pytest tests -m nightly --durations=20
	$(BIN)/python -m pytest --parts=cluster $(ON_BOTH) -m "not nightly" --durations=20

lint: $(VENV)/.development  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.development  ## pyrefly
	$(BIN)/pyrefly check --min-severity=error

bench: $(VENV)/.development  ## benchmarks, each against its peer in one run
	$(BIN)/python -m benchmarks.materialize
	$(BIN)/python -m benchmarks.online_features
	$(BIN)/python -m benchmarks.replay
	$(BIN)/python -m benchmarks.point_in_time
	$(BIN)/python -m benchmarks.audit
	$(BIN)/python -m benchmarks.skew
	$(BIN)/python -m benchmarks.drift
	$(BIN)/python -m benchmarks.alarms
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.promotion
	$(BIN)/python -m benchmarks.rollout
	$(BIN)/python -m benchmarks.launcher
	$(BIN)/python -m benchmarks.ticks
	$(BIN)/python -m benchmarks.serving
	$(BIN)/python -m benchmarks.overload
	$(BIN)/python -m benchmarks.live

screenshots: $(VENV)/.development  ## pictures of the UI for the README, from the state that make run left
	$(BIN)/python -m docs.screenshots

COMPILE = $(BIN)/uv pip compile pyproject.toml --extra setup --universal --python-version 3.11 --generate-hashes \
	  --no-strip-extras --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet
lock: $(VENV)/.uv  ## pin every version with hashes, what runs and what only develops apart
	$(COMPILE) -o requirements.lock
	$(COMPILE) --extra dev --extra cluster --constraint requirements.lock -o requirements-dev.lock

clean:  ## remove all state
	@$(PYTHON) -m mlops_assets.commands.clean
