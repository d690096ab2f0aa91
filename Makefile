# Two targets are all that a newcomer needs: `make run` and `make test`.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test test-long coverage test-clients check fmt bench bench-peers docs requirements clean venv venv-dev

BIN := .venv/bin
SOURCES := platform/llm_manager inference registry accounts tests benchmarks examples manage.py
SPREAD := --numprocesses=3 --dist=loadscope
DOCS := docs/cli.md docs/configuration.md docs/metrics.md docs/parameters.md

# Some environments set it. Tests and servers start hundreds of processes: without
# bytecode each of them would compile the product again.
unexport PYTHONDONTWRITEBYTECODE

# HOST counts only from the command line: some shells export it as the machine's name,
# and the server would listen to the world.
ifneq ($(origin HOST),command line)
HOST :=
endif
SERVER_OPTIONS = $(if $(HOST),--host "$(HOST)") $(if $(PORT),--port "$(PORT)") \
	$(if $(DATA_DIR),--data-dir "$(DATA_DIR)")

help: ## Say what there is.
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

run: venv ## Install, start everything, print how to use it. [HOST=] [PORT=] [DATA_DIR=]
	@exec $(BIN)/llm-manager server --quickstart $(SERVER_OPTIONS)

test: venv-dev ## Install what the tests need and run them. [ARGS=pytest's arguments]
	@scripts/missing_for_tests.sh
	@$(BIN)/pytest $(SPREAD) $(ARGS)

test-long: venv-dev ## Run what takes too long for `make test`. [ARGS=]
	@$(BIN)/pytest $(SPREAD) -m "long or property" --hypothesis-profile=long --timeout=900 $(ARGS)

# Of statements and branches in the processes of the tests themselves. Twice the time.
coverage: venv-dev ## Run the tests of `make test`, and say what they do not reach.
	@$(BIN)/pytest $(SPREAD) --cov --cov-report=term:skip-covered --cov-fail-under=91 $(ARGS)

test-clients: venv-dev ## Put other people's clients before a real server; write docs/clients.md. [ARGS=]
	@scripts/install_clients.sh
	@scripts/test_clients.sh $(ARGS)

check: venv-dev ## Lint, types, layers, spelling, Django's checks, generated pages.
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	PYTHONPATH=platform:. $(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/codespell
	$(BIN)/python manage.py check
	$(BIN)/python manage.py check --deploy --fail-level ERROR
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/cog --check -I platform -I . $(DOCS)

fmt: venv-dev ## Format the code and repair what can be repaired.
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: venv-dev ## Measure, beside other systems if they are there. [ARGS="--quick", "--help", …]
	@$(BIN)/python -m benchmarks $(ARGS)

bench-peers: venv-dev ## Build what `make bench` compares with: llama-server and others.
	@scripts/build_peers.sh

docs: venv-dev ## Write the generated pages again.
	$(BIN)/cog -r -I platform -I . $(DOCS)

requirements: venv-dev ## Pin the newest versions of everything again.
	scripts/compile_requirements.sh

clean: ## Remove what was built; data and models stay.
	rm -rf .venv .venv-clients tests/clients/node/node_modules .bench .bench-vllm build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

venv:
	@scripts/install.sh run

venv-dev:
	@scripts/install.sh dev
