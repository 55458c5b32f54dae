# Every target sets up what it needs first: Debian packages (or says which), and .venv. The second time that is instant.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# A run starts hundreds of processes, which would each compile the same modules anew.
unexport PYTHONDONTWRITEBYTECODE
# Tests that share servers or a guest run in one of several processes: tests/support/tiers.py.
PYTEST := .venv/bin/python -m pytest -n auto
SEED ?= 1
TIERS ?= not lab
COMPILE := .venv/bin/pip-compile --quiet --strip-extras --no-header --no-emit-find-links --no-emit-index-url

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-25s %s\n", $$1, $$2}' Makefile

.PHONY: up
up: setup-run ## Run the whole fleet in the foreground; Ctrl-C stops it
	@.venv/bin/corral up

.PHONY: down
down: setup-run ## Stop the VMs that an earlier `make up` left running
	@.venv/bin/corral down

.PHONY: demo
demo: setup-run ## Show a VM's whole life on a temporary fleet
	@.venv/bin/corral demo

.PHONY: image
image: setup-run ## Build the default guest image, unless it exists
	@.venv/bin/corral image build

.PHONY: test
test: setup-dev ## Run all tests, on real servers that they start themselves
	@.venv/bin/corral image build
	@.venv/bin/python -m tools.virtualbox build --if-possible
	@$(PYTEST) $(if $(BESIDE),--beside '$(BESIDE)')

.PHONY: test-fast
test-fast: lint ## Lint, and run the tests that need neither a guest nor VirtualBox
	@$(PYTEST) -m "unit or server"

.PHONY: test-random
test-random: setup-dev ## Like test, in a random order: make test-random SEED=7 TIERS="unit or server"
	@$(PYTEST) -m "$(TIERS)" --shuffle $(SEED)

.PHONY: lab
lab: setup-run ## Boot hosts with the real VirtualBox and the real KVM, emulated; Ctrl-C ends them
	@.venv/bin/python -m tools.lab up

.PHONY: lab-test
lab-test: setup-dev ## Test the drivers on those hosts: minutes, and more the first time
	@.venv/bin/python -m pytest -m lab tests/lab -s --ignore tests/lab/test_cloud_hypervisor.py

.PHONY: lab-test-cloud-hypervisor
lab-test-cloud-hypervisor: setup-dev ## Test Cloud Hypervisor on those hosts, if this machine has its program
	@.venv/bin/python -m pytest -m lab tests/lab/test_cloud_hypervisor.py -s

.PHONY: lint
lint: setup-dev ## Check style, types, import rules and spelling
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/codespell

.PHONY: bench
bench: setup-dev ## Measure, and print the figures as ratios
	@.venv/bin/python -m bench

.PHONY: migration
migration: setup-dev ## Write a migration for changes of the models: make migration MESSAGE="add a column"
	@.venv/bin/python scripts/migration.py "$(MESSAGE)"

.PHONY: openapi
openapi: setup-dev ## Generate both OpenAPI documents, which the tests compare
	@.venv/bin/python -m api.openapi docs/openapi

.PHONY: requirements
requirements: setup-dev ## Pin the dependencies of setup.cfg again
	$(COMPILE) --upgrade --output-file requirements.txt setup.cfg
	$(COMPILE) --upgrade --extra dev --constraint requirements.txt --output-file requirements-dev.txt setup.cfg

.PHONY: release
release: setup-dev ## Build and test wheel and sdist; VERSION=1.2.3 also cuts that release
	@.venv/bin/python -m scripts.release $(VERSION)

.PHONY: clean
clean: ## Remove files of tools; .corral (your VMs) and .venv stay
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .schemathesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

.PHONY: setup-run
setup-run:
	@scripts/setup run

.PHONY: setup-dev
setup-dev:
	@scripts/setup dev
