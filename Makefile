# `make help` lists the targets. Each sets up what it needs first; what is there already is not fetched again.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

STORE ?= emulator
IDP ?= canaille
# Of pytest; each has servers of its own.
PROCESSES ?= 2
PYTHON_FILES := shared functions local tests
BIN := .venv/bin

ifeq ($(STORE),orthanc)
STORE_SET_UP := orthanc
else ifneq ($(STORE),emulator)
$(error STORE is emulator or orthanc, not $(STORE))
endif

ifeq ($(IDP),keycloak)
IDP_SET_UP := keycloak
else ifneq ($(IDP),canaille)
$(error IDP is canaille or keycloak, not $(IDP))
endif

.PHONY: help
help:  ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo '  STORE=orthanc make demo | smoke: with Orthanc in place of the Healthcare API emulator'
	@echo '  IDP=keycloak make demo | smoke: with Keycloak as the login provider in place of canaille'

.PHONY: demo
demo: set-up  ## Run the whole system here until Ctrl-C, and print its address and logins
	@$(BIN)/python -m local.demo --store $(STORE) --idp $(IDP)

.PHONY: smoke
smoke: set-up  ## Do the main job end to end on fresh data, step by step
	@$(BIN)/python -m local.smoke --store $(STORE) --idp $(IDP)

.PHONY: test
test: set-up-everything  ## Run all tests but the long ones, on servers of their own
	$(BIN)/pytest -m "not long" -n $(PROCESSES) --dist loadfile --no-loadscope-reorder

.PHONY: long
long: set-up-everything  ## Run the long tests: full fuzzing, 1 GiB bodies
	$(BIN)/pytest -m long -n $(PROCESSES) --dist loadfile --no-loadscope-reorder

.PHONY: check
check: set-up  ## Lint, formatting, types and import contracts
	$(BIN)/ruff check $(PYTHON_FILES)
	$(BIN)/ruff format --check $(PYTHON_FILES)
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: set-up  ## Format the code and apply safe fixes
	$(BIN)/ruff check --fix $(PYTHON_FILES)
	$(BIN)/ruff format $(PYTHON_FILES)

.PHONY: lock
lock: set-up  ## Write the lock files anew from pyproject.toml (docs/adr/0006)
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-annotate --no-header --no-emit-find-links \
		pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-annotate --no-header --no-emit-find-links \
		pyproject.toml --group dev -o requirements-dev.lock

.PHONY: bench-quick
bench-quick: set-up-bench  ## CPU per request against nginx auth_request, in one run
	@$(BIN)/python -m tests.benchmarks.quick

.PHONY: bench-qido
bench-qido: set-up  ## Database time of study lists in a catalog of 1,000,000 series
	@$(BIN)/python -m tests.benchmarks.qido

.PHONY: infra-check
infra-check: set-up-infra  ## Check the Terraform configuration: form, schema, tests with a mocked provider, checkov
	@local/terraform/check.sh

.PHONY: infra-lock
infra-lock: set-up  ## Write the lock files of the image's build and of infra-check anew
	sed -n 's/^requires = \["\(.*\)"\]/\1/p' pyproject.toml | $(BIN)/uv pip compile --quiet --upgrade --generate-hashes \
		--no-annotate --no-header --no-emit-find-links - -o requirements-build.lock
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-annotate --no-header --no-emit-find-links \
		local/terraform/requirements.in -o local/terraform/requirements.lock

.PHONY: set-up
set-up:  ## Make .venv and install PostgreSQL where absent
	@local/setup.sh $(STORE_SET_UP) $(IDP_SET_UP)

.PHONY: set-up-everything
set-up-everything:
	@local/setup.sh orthanc archivers clients
	@local/setup.sh keycloak || echo 'set-up: the tests that need Keycloak will be skipped' >&2
	@local/setup.sh terraform || echo 'set-up: the tests that need Terraform will be skipped' >&2

.PHONY: set-up-infra
set-up-infra:
	@local/setup.sh terraform

.PHONY: set-up-bench
set-up-bench:
	@local/setup.sh bench
