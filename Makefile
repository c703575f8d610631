# vfioctl. Two commands matter: make run, make test. `make help` lists the rest.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TOPOLOGY ?=
KERNEL ?=
K ?=
STAGES ?=
TARGET ?=
RUNS ?=
SECONDS ?=
SEED ?=
ENGINE ?=

# Empty is as good as not there: each process of the tests would else compile all of them, and rewrite their asserts.
export PYTHONDONTWRITEBYTECODE :=

# One process more than there are cores: some tests wait for what never comes.
SIDE_BY_SIDE = --numprocesses=$$(($$(nproc) + 1)) --dist=worksteal

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

.PHONY: help
help: ## this list
	@awk -F':.*## ' '/^[a-z.-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamps make a second call cheap and free of network; they age with pyproject.toml.
$(VENV)/.run: pyproject.toml tools/private_environment.sh
	@sh tools/private_environment.sh $(PYTHON) $(VENV) run && touch $@

$(VENV)/.dev: pyproject.toml tools/private_environment.sh
	@sh tools/private_environment.sh $(PYTHON) $(VENV) dev && touch $(VENV)/.run $@

.PHONY: .venv
.venv: $(VENV)/.dev ## the private environment with every development tool

.PHONY: run
run: $(VENV)/.run ## install privately, then scan and groups of this host (and of the sample host)
	@$(BIN)/python -m tools.first_look

.PHONY: test
test: $(VENV)/.dev system-packages ## everything that can run here, with a closing summary; STAGES="lint unit" selects
	@$(BIN)/python -m tools.run_tests $(STAGES)

.PHONY: system-packages
system-packages: $(VENV)/.dev
	@sh tools/system_packages.sh
	@$(BIN)/python -m tools.libvirt_schemas

.PHONY: unit
unit: $(VENV)/.dev ## the tests that are quick, on every core, in less than a minute; K=expression selects of all
	@$(BIN)/python -m pytest --quiet $(if $(K),-k '$(K)',-m 'not long' $(SIDE_BY_SIDE))

.PHONY: long
long: $(VENV)/.dev ## the tests that are not: properties, programs, every command line of every page
	@$(BIN)/python -m pytest --quiet -m long $(SIDE_BY_SIDE)

.PHONY: lint
lint: $(VENV)/.dev ## ruff, codespell, docstring coverage, generated files
	@$(BIN)/python -m tools.run_tests lint

.PHONY: types
types: $(VENV)/.dev ## mypy
	@$(BIN)/python -m tools.run_tests types

.PHONY: lab
lab: $(VENV)/.dev ## real kernels with a real IOMMU: TOPOLOGY= KERNEL= K= select
	@$(BIN)/python -m tests.lab run $(if $(TOPOLOGY),--topology '$(TOPOLOGY)') \
		$(if $(KERNEL),--kernel '$(KERNEL)') $(if $(K),-k '$(K)')

.PHONY: lab-repeat
lab-repeat: $(VENV)/.dev ## the lab RUNS=10 times, or until a run fails; each leaves a line. Selects as lab does
	@$(BIN)/python -m tests.lab run --repeat '$(or $(RUNS),10)' $(if $(TOPOLOGY),--topology '$(TOPOLOGY)') \
		$(if $(KERNEL),--kernel '$(KERNEL)') $(if $(K),-k '$(K)')

.PHONY: lab-shell
lab-shell: $(VENV)/.dev ## a shell inside a lab guest: TOPOLOGY= KERNEL= select
	@$(BIN)/python -m tests.lab shell $(if $(TOPOLOGY),--topology '$(TOPOLOGY)') \
		$(if $(KERNEL),--kernel '$(KERNEL)')

.PHONY: bench
bench: $(VENV)/.dev ## speed and memory against lspci and others, as ratios
	@$(BIN)/python -m tests.bench

.PHONY: bench-plugin
bench-plugin: $(VENV)/.dev ## what serve-plugin carries, beside its targets; some ten minutes
	@$(BIN)/python -m tests.bench.plugin

# atheris has no wheel for every machine: without it, inputs are drawn instead of guided.
.PHONY: fuzz
fuzz: $(VENV)/.dev ## any bytes into everything that reads bytes: TARGET= RUNS= SECONDS= SEED= ENGINE= bound it
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet --group fuzz 2>/dev/null || true
	@$(BIN)/python -m tests.fuzz $(if $(TARGET),--target $(TARGET)) $(if $(RUNS),--runs $(RUNS)) \
		$(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) $(if $(ENGINE),--engine $(ENGINE))

.PHONY: regen
regen: $(VENV)/.dev ## write completions, man pages, README tables, golden files and screenshots anew
	@$(BIN)/python -m tools.completions
	@$(BIN)/python -m tools.man
	@$(BIN)/python -m tools.readme
	@$(BIN)/python -m tools.screenshots
	@$(BIN)/python -m pytest -q --regen

.PHONY: format
format: $(VENV)/.dev ## ruff format and the fixes ruff is sure of
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

.PHONY: wheel
wheel: $(VENV)/.dev ## dist/vfioctl-*.whl
	@$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist . && ls dist

.PHONY: deb
deb: $(VENV)/.dev ## dist/vfioctl_*.deb, for Debian 12
	@$(BIN)/python -m tools.deb

.PHONY: clean
clean: ## remove everything that was made here
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find vfioctl tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
