# Two commands are enough on a fresh machine: `make demo` and `make test`. Each does its own set-up.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# Left out of `make unit`: the trees that need RabbitMQ, Redis or promtool, and the simulation, which takes a minute.
NOT_UNIT := alerts e2e faults strangers contract adapters/rabbitmq adapters/redis simulation
# Without tests that compute for seconds, and a fifth of the examples of each property: `make test` runs all of them.
UNIT := --hypothesis-profile quick -m "not long" $(addprefix --ignore=tests/,$(NOT_UNIT))

.PHONY: help demo test unit faults strangers simulate mutants soak overload diagnose commands check format bench incident image docs lock services clean
.DEFAULT_GOAL := help
# The version of RabbitMQ that the tests start, where it is not the installed one.
export BROKER

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml requirements/development.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/development.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q notification_sender
	@touch $@

demo: $(READY) ## the whole job on the embedded default: 400 work units, a simulated platform, an inbox: KEEP=1 leaves its page up
	$(BIN)/notification-sender demo $(if $(KEEP),--keep)

services: ## RabbitMQ, Redis and promtool from Debian's packages, for the tests (started privately by them): BROKER=4.0 or 4.3
	@deploy/install-services
	@$(if $(BROKER),deploy/rabbitmq-versions $(BROKER))

test: $(READY) services ## every test, two at a time, each with a private RabbitMQ and Redis: ARGS="tests/cli -k audit"
	$(PYTEST) $(ARGS)

unit: $(READY) ## the tests that need neither RabbitMQ nor Redis, within a minute: ARGS="-k retry"
	$(PYTEST) $(UNIT) $(ARGS)

faults: $(READY) services ## break everything, count everything: FAULTS=18,22-25 SEED=7 NIGHT=1
	$(BIN)/python -m tests.faults $(if $(FAULTS),--rows $(FAULTS) --add) $(if $(SEED),--seed $(SEED)) $(if $(NIGHT),--night)

strangers: $(READY) services ## odd messages, records, receivers, relays and names among good units, a seed after the other: SEEDS=20 FROM=1
	$(BIN)/python -m tests.strangers $(if $(SEEDS),--seeds $(SEEDS)) $(if $(FROM),--from $(FROM))

simulate: $(READY) ## a night of simulated trouble: SEEDS=100000 FROM=0
	$(BIN)/python -m tests.simulation $(if $(SEEDS),--seeds $(SEEDS)) $(if $(FROM),--from $(FROM))

mutants: $(READY) services ## take out what keeps the promise, piece by piece, and see which test misses it: ONLY=probe
	$(BIN)/python -m tests.mutants $(if $(ONLY),--only "$(ONLY)")

soak: $(READY) services ## a fault every minute for half an hour, then 5,000 reconnects: MINUTES=30 RECONNECTS=5000 SEED=7
	$(BIN)/python -m bench.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(RECONNECTS),--reconnects $(RECONNECTS)) $(if $(SEED),--seed $(SEED))

overload: $(READY) services ## three times the capacity for five minutes, then until it is drained: SECONDS=300 CUT=600
	$(BIN)/python -m bench.overload $(if $(SECONDS),--seconds $(SECONDS)) $(if $(CUT),--cut $(CUT))

diagnose: $(READY) services ## 24 faults and 24 healthy stretches, and what `why` says of each, in an hour: SEED=7 ONLY="aaa,redis" SECONDS=60 HEALTHY=24 WRITE=1
	$(BIN)/python -m bench.diagnose $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only "$(ONLY)") $(if $(SECONDS),--seconds $(SECONDS)) $(if $(HEALTHY),--healthy $(HEALTHY)) $(if $(WRITE),--write)

commands: $(READY) services ## what each command prints of a system in trouble, into docs/reference/commands.md: SECONDS=90
	$(BIN)/python -m bench.commands $(if $(SECONDS),--seconds $(SECONDS))

PAGES := $(wildcard *.md) docs
# Pages and docstrings whose sentences `make check` reads. Not yet: decisions, and pages that commands write.
WRITTEN_BY_COMMANDS := diagnosis-trial faults log-events metrics mutants performance settings spans strangers
PROSE := README.md $(wildcard CONTRIBUTING.md SECURITY.md) $(filter-out $(WRITTEN_BY_COMMANDS:%=docs/reference/%.md) docs/decisions/%,$(wildcard docs/*.md docs/*/*.md)) notification_sender

# The version of helm that `make check` builds where Go is: without it deploy/kustomize is checked, and the chart is not.
HELM := v3.22.0
.PHONY: helm
helm: $(READY)
	@[ -x $(BIN)/helm ] || ! command -v go >/dev/null || \
	  GOBIN=$(abspath $(BIN)) go install helm.sh/helm/v3/cmd/helm@$(HELM) || echo "helm could not be built" >&2

check: $(READY) helm ## formatting, lint, types, layers, prose, links, the image's recipe, Kubernetes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.prose $(PROSE)
	$(BIN)/python -m tools.links $(PAGES)
	$(BIN)/hadolint Dockerfile
	$(BIN)/python -m tools.kubernetes

format: $(READY) ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) services ## ratios against a floor measured in the same run: BUDGET=1 step by step, GROWTH=1 or GROWTH=assets what grows, PEERS=1 beside FastStream and others
	$(if $(GROWTH),$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/incident.lock)
	$(BIN)/python -m $(if $(PEERS),bench.peers,$(if $(GROWTH),bench.growth $(filter-out 1,$(GROWTH)),bench $(if $(BUDGET),--budget)))

ifdef PEERS
bench: $(VENV)-peers/.ready
endif

$(VENV)-peers/.ready: requirements/peers.lock
	$(PYTHON) -m venv $(VENV)-peers
	$(VENV)-peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/peers.lock
	@touch $@

incident: $(READY) services ## the incident of 6 March 2026 replayed: the design of that day and ours
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/incident.lock
	$(BIN)/python -m bench.incident

.PHONY: site
site: $(READY) ## the pages as a site, in build/site
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/site.lock
	$(BIN)/zensical build --strict --clean

image: $(READY) ## build the image where an engine is, run demo, check and run in it, and print its size and its SBOM
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/image.lock
	BIN=$(BIN) deploy/build-image

docs: $(READY) helm ## the pages, rules and dashboard that are generated from the code
	$(BIN)/notification-sender settings --markdown > docs/reference/settings.md
	$(BIN)/python -m tools.pages
	$(BIN)/python -m tools.kubernetes --write

lock: ## versions and hashes of everything, from pyproject.toml (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements/runtime.lock pyproject.toml
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --extra demo --extra otel --group dev -o requirements/development.lock pyproject.toml
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --extra demo -c requirements/development.lock -o requirements/demo.lock pyproject.toml
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --extra otel -c requirements/development.lock -o requirements/otel.lock pyproject.toml
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --group build -c requirements/development.lock -o requirements/build.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --group image -o requirements/image.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --group incident -c requirements/development.lock -o requirements/incident.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --group site -c requirements/development.lock -o requirements/site.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --group peers -o requirements/peers.lock

clean:
	rm -rf .venv* build dist .pytest_cache .mypy_cache .ruff_cache
