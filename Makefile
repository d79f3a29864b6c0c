# `make demo` and `make test` need Python 3.11+, git and make; everything else is installed here.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
UV = $(shell PYTHON=$(PYTHON) ./scripts/bootstrap.sh)

.DEFAULT_GOAL := help
.PHONY: help install build start dev test terraform-test fuzz lint format demo bench lock docs clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Make .venv with the locked environment

$(INSTALLED): requirements-dev.lock pyproject.toml scripts/bootstrap.sh
	@uv="$(UV)"; test -n "$$uv" && $$uv venv --quiet --clear --python $(PYTHON) $(VENV) \
	  && $$uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements-dev.lock \
	  && $$uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

build: install ## Build wheel and sdist into dist/
	$(UV) build --quiet --out-dir dist

start: install ## Run the service with the environment's configuration
	$(BIN)/modelsync run

dev: install ## The same with console logs, restarted on every change of the source
	APP_ENV=development $(BIN)/watchfiles --filter python "$(BIN)/modelsync run" src

demo: install ## Show the main job on this machine, without AWS (Ctrl-C ends it)
	@$(BIN)/modelsync demo $(if $(ONCE),--once)

test: install ## All tests, with branch coverage of the core
	@./scripts/test-tools.sh ; ./scripts/localstack.sh ; ./scripts/deploy-tools.sh
	$(BIN)/pytest --numprocesses=2 --dist=worksteal --cov --cov-report= && $(BIN)/coverage report --include='src/modelsync/core/*' --fail-under=100 --show-missing

terraform-test: install ## Apply deploy/aws to an emulator and run a worker on it (terraform with its AWS provider)
	$(BIN)/pytest tests/deploy/apply.py

fuzz: install ## Throw inputs at the readers of hostile input, for SECONDS=60 each
	@./scripts/fuzz.sh $(or $(SECONDS),60) $(TARGETS)

lint: install ## ruff, mypy and the architecture's floors
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

format: install ## Format and mend what can be mended
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: install ## Measure, and write docs/benchmarks.md
	$(BIN)/python -m bench

docs: install ## Generate the reference pages from the code
	$(BIN)/python scripts/reference.py

lock: ## Resolve the dependencies anew
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --upgrade --extra worker --extra signing pyproject.toml --output-file requirements.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --upgrade --extra demo --extra kubernetes --extra signing --group dev pyproject.toml --output-file requirements-dev.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --upgrade tests/localstack/requirements.in --output-file tests/localstack/requirements.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --upgrade tests/fuzz/requirements.in --output-file tests/fuzz/requirements.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --upgrade tests/deploy/requirements.in --output-file tests/deploy/requirements.lock

clean: ## Remove everything that was made here
	rm -rf $(VENV) .cache dist build .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis
