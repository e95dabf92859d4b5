# Two commands are enough on a fresh machine: `make demo` and `make test`. Each does its own set-up.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help demo test faults simulate mutants soak overload check format bench incident docs lock services clean
.DEFAULT_GOAL := help

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml requirements/development.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/development.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## the whole job on the embedded default: 400 work units, a simulated platform, an inbox
	$(BIN)/notification-sender demo

services: ## RabbitMQ and Redis from Debian's packages, for the tests (started privately by them)
	@deploy/install-services

test: $(READY) services ## every test, on a private RabbitMQ and Redis
	$(BIN)/pytest

faults: $(READY) services ## break everything, count everything: FAULTS=18,22-25 SEED=7 NIGHT=1
	$(BIN)/python -m tests.faults $(if $(FAULTS),--rows $(FAULTS) --add) $(if $(SEED),--seed $(SEED)) $(if $(NIGHT),--night)

simulate: $(READY) ## a night of simulated trouble: SEEDS=100000 FROM=0
	$(BIN)/python -m tests.simulation $(if $(SEEDS),--seeds $(SEEDS)) $(if $(FROM),--from $(FROM))

mutants: $(READY) services ## take out what keeps the promise, piece by piece, and see which test misses it: ONLY=probe
	$(BIN)/python -m tests.mutants $(if $(ONLY),--only "$(ONLY)")

soak: $(READY) services ## a fault every minute for half an hour, then 5,000 reconnects: MINUTES=30 RECONNECTS=5000 SEED=7
	$(BIN)/python -m bench.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(RECONNECTS),--reconnects $(RECONNECTS)) $(if $(SEED),--seed $(SEED))

overload: $(READY) services ## three times the capacity for five minutes, then until it is drained: SECONDS=300 CUT=600
	$(BIN)/python -m bench.overload $(if $(SECONDS),--seconds $(SECONDS)) $(if $(CUT),--cut $(CUT))

check: $(READY) ## formatting, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) services ## ratios against a floor measured in the same run
	$(BIN)/python -m bench

incident: $(READY) services ## the incident of 6 March 2026 replayed: the design of that day and ours
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/incident.lock
	$(BIN)/python -m bench.incident

docs: $(READY) ## the reference pages that are generated from the code
	$(BIN)/notification-sender settings --markdown > docs/reference/settings.md

lock: ## versions and hashes of everything, from pyproject.toml (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements/runtime.lock pyproject.toml
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --extra demo --group dev -o requirements/development.lock pyproject.toml
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --group incident -c requirements/development.lock -o requirements/incident.lock

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache
