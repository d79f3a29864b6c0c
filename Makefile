# `make demo` and `make test` need Python 3.11+, git and make; everything else is installed here.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
UV = $(shell PYTHON=$(PYTHON) ./scripts/bootstrap.sh)
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate $(UPGRADE)
UPGRADE = --upgrade
AS_TESTED = --constraint requirements-dev.lock

.DEFAULT_GOAL := help
.PHONY: help install build start dev test terraform-test fuzz lint format demo bench lock docs clean
.PHONY: image container-test image-figures screenshot transcript sbom audit release-check

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Make .venv with the locked environment

$(INSTALLED): requirements-dev.lock pyproject.toml scripts/bootstrap.sh
	@uv="$(UV)"; test -n "$$uv" && $$uv venv --quiet --clear --python $(PYTHON) $(VENV) \
	  && $$uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements-dev.lock \
	  && $$uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

build: install ## Build wheel and sdist into dist/
	$(BIN)/hatchling build --directory dist

start: install ## Run the service with the environment's configuration
	$(BIN)/modelsync run

dev: install ## The same with console logs, restarted on every change of the source
	APP_ENV=development $(BIN)/watchfiles --filter python "$(BIN)/modelsync run" src

demo: install ## Show the main job on this machine, without AWS (Ctrl-C ends it)
	@$(BIN)/modelsync demo $(if $(ONCE),--once)

test: install ## All tests, with branch coverage of the core
	@./scripts/test-tools.sh ; ./scripts/localstack.sh ; ./scripts/deploy-tools.sh
	$(BIN)/pytest --numprocesses=3 --dist=worksteal --cov --cov-report= && $(BIN)/coverage report --include='src/modelsync/core/*' --fail-under=100 --show-missing

terraform-test: install ## Plan deploy/aws, apply it to an emulator and run a worker on it (terraform with its AWS provider)
	$(BIN)/pytest tests/deploy/test_terraform.py tests/deploy/apply.py

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

lock: ## Resolve the dependencies anew (UPGRADE= keeps the versions that fit)
	$(COMPILE) --extra demo --extra kubernetes --extra signing --group dev pyproject.toml --output-file requirements-dev.lock
	$(COMPILE) $(AS_TESTED) --extra worker --extra kubernetes --extra signing pyproject.toml --output-file requirements.lock
	$(COMPILE) $(AS_TESTED) --extra demo pyproject.toml --output-file requirements-demo.lock
	$(COMPILE) --group pyproject.toml:build --output-file requirements-build.lock
	$(COMPILE) tests/localstack/requirements.in --output-file tests/localstack/requirements.lock
	$(COMPILE) tests/fuzz/requirements.in --output-file tests/fuzz/requirements.lock
	$(COMPILE) tests/deploy/requirements.in --output-file tests/deploy/requirements.lock

image: ## Build the container image (CONTAINER_TOOL, BASE_IMAGE)
	$(or $(CONTAINER_TOOL),docker) build $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) --tag worker-model-sync-tts:latest .

container-test: install ## Build the image and run it as Kubernetes does (buildah, podman, root)
	@./scripts/container-tools.sh
	$(BIN)/pytest -m container tests/container

image-figures: ## The same, and write what it measures into docs/image.md
	FIGURES=1 $(MAKE) container-test

screenshot: install ## Take docs/page.png of the status page, in Chromium
	@./scripts/test-tools.sh
	PYTHONPATH=tests $(BIN)/python scripts/screenshot.py $(TO)

transcript: install ## Run deploy.sh against stand-ins, and write what it says into docs/releasing.md
	TRANSCRIPT=1 $(BIN)/pytest -q tests/e2e/test_deploy.py -k transcript

sbom: install ## Write the worker's SBOM to dist/modelsync.cdx.json
	BIN=$(BIN) ./scripts/sbom.sh dist/modelsync.cdx.json

audit: install ## Known vulnerabilities of what is locked, as PyPI knows them
	for lock in requirements requirements-build requirements-demo; do \
	  $(BIN)/pip-audit --require-hashes --disable-pip --strict --requirement $$lock.lock || exit 1; done

release-check: install ## Whether this can be released: make release-check TAG=v1.2.3
	$(BIN)/python scripts/release_check.py $(TAG)

clean: ## Remove everything that was made here
	rm -rf $(VENV) .cache dist build .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis
