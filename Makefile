# The verbs of daily work. Every target makes what it needs; `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH VIRTUAL_ENV

BIN := .venv/bin
ANY_PYTHON = $(firstword $(wildcard $(BIN)/python) python3)
EXTRAS ?=
SERVERS ?=
PORTS ?=
ARGS ?=
export EXTRAS PYTHON

.PHONY: help setup demo stream-demo test test-stack up down status lint format bench tour lock clean

help: ## List the targets
	@printf 'Penstock. Needs Python 3.11; installs everything else beside itself.\n\n'
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nARGS="..." goes to the tool: make test ARGS="-k dedupe".\n'

setup: ## Make .venv from the lock (EXTRAS="gcp aws" or EXTRAS=all for more); < 1 s when in place
	@infra/local/setup.sh

demo: setup ## Fetch a year of real flights and run them into lake and warehouse
	@infra/local/demo.sh

stream-demo: setup ## The same flights as a stream, a year in a minute, watched live (needs Java, Go)
	@$(BIN)/python -m infra.local.stream_demo $(ARGS)

test: setup ## Unit and pipeline tests; no servers, under 10 minutes
	@$(BIN)/python -m pytest -n auto -q -m "not stack" $(ARGS)

test-stack: setup ## Tests that need real servers or take minutes
	@$(BIN)/python -m pytest -q -m stack $(ARGS)

up: setup ## Start local servers: make up SERVERS="kafka" (PORTS="kafka=19092" or free)
	@$(BIN)/python -m infra.local.servers up $(if $(PORTS),--ports "$(PORTS)") $(SERVERS)

down: ## End local servers, all or SERVERS="...", and what they started (ARGS=--wipe: and their data)
	@$(ANY_PYTHON) -m infra.local.servers down $(SERVERS) $(ARGS)

status: ## Which local servers are up, on which ports
	@$(ANY_PYTHON) -m infra.local.servers status

lint: setup ## ruff, mypy --strict, import contracts: what CI runs
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup ## Let ruff format and mend what it can
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

bench: setup ## Time Penstock against DuckDB, PySpark, plain Beam and dlt; writes docs/benchmarks.md
	@$(BIN)/python -m tests.benchmarks $(ARGS)

tour: setup ## Type the commands of docs/tour.md again, and write down there and in README what they say
	@$(BIN)/python -m tests.tour

lock: setup ## Resolve setup.py into requirements.txt and requirements-runtime.txt (UPGRADE=1: newest)
	@infra/local/lock.sh

clean: down ## Remove what make, tests and runs left, but not fetched data and keys
	@rm -rf .venv .tools build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis \
	  .import_linter_cache beam_pipelines/*/out
