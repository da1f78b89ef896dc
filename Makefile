# Two commands do everything on a fresh machine with Python 3.11, 3.12 or 3.13:
#   make table1   builds .venv and runs the workflow on the embedded data up to results/table1.csv
#   make test     builds .venv and runs the tests
# Neither needs a GPU, a key or a model hub.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
# Where torch comes from; on Linux without a GPU the index https://download.pytorch.org/whl/cpu saves gigabytes.
TORCH_INDEX ?=
TORCH_FLAGS := $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
CORES ?= 1
TEST_JOBS ?= 2
# What `make identity` compares: a file of results, or `all`.
IDENTITY ?= results/table1.csv
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# One thread per process: the tests run side by side.
TEST_ENV := OMP_NUM_THREADS=1 MPLBACKEND=Agg HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

# All cores for numerical libraries, as a rule's job has them; benchmarks/gpu.py needs a GPU and is run by itself.
BENCH_ENV := OMP_NUM_THREADS=$(shell nproc 2>/dev/null || echo 1) HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
BENCHMARKS := samples grbp collation training inference scorer dag scale teachers report

.PHONY: table1 all report test lint types format-check check dry-runs format docs serve-docs bench audit upgrade fuzz robustness survival rehearsal identity backbone clean help

table1: $(VENV)/.runtime ## Table 1 on the embedded demo data
	$(BIN)/snakemake --cores $(CORES) results/table1.csv

all: $(VENV)/.runtime ## Tables 1 to 3 and Figure 3 on the embedded demo data
	$(BIN)/snakemake --cores $(CORES) all

report: $(VENV)/.runtime ## results/report.html of what is finished so far, in seconds
	$(BIN)/snakemake --cores $(CORES) report

test: $(VENV)/.dev ## the tests
	$(TEST_ENV) $(BIN)/python -m pytest -n $(TEST_JOBS) --dist worksteal

lint: $(VENV)/.dev ## ruff, bandit, hadolint, Snakemake's linter
	$(BIN)/ruff check .
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml src
	$(BIN)/hadolint Dockerfile
	$(BIN)/snakemake --lint

types: $(VENV)/.dev ## mypy
	$(BIN)/mypy

format-check: $(VENV)/.dev ## ruff format and snakefmt
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules

format: $(VENV)/.dev ## format Python and Snakemake files, and fix what ruff can
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

docs: $(VENV)/.dev ## the pages as a site, into site/; an unresolved link or a page in no menu is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

serve-docs: $(VENV)/.dev ## the site on http://127.0.0.1:8000, rebuilt as you write
	$(BIN)/python -m mkdocs serve

dry-runs: $(VENV)/.runtime ## plan every shipped configuration
	@set -e; for file in workflow/configs/*.yaml; do \
		echo "dry run of $$file"; $(BIN)/snakemake --cores 1 --configfile $$file --dry-run --quiet rules -- all; \
	done

bench: $(VENV)/.dev ## the benchmarks (some ten minutes): JSON on standard output, one document each
	@set -e; for name in $(BENCHMARKS); do $(BENCH_ENV) $(BIN)/python benchmarks/$$name.py; done

audit: $(VENV)/.runtime ## known vulnerabilities of the pinned versions; asks the advisory database on the network
	$(PIP) install pip-audit
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip

upgrade: $(VENV)/.runtime ## the newest versions that fit together, into constraints.txt and envs/
	$(BIN)/python envs/upgrade.py

fuzz: $(VENV)/.dev ## each reader fuzzed for ten minutes (fuzz/README.md)
	$(PIP) install --constraint constraints.txt --editable '.[fuzz]'
	$(BIN)/python fuzz/run.py all --seconds 600

robustness: $(VENV)/.dev ## inject the faults of tests/robustness and write what came of them to docs/robustness.md
	GMNER_WRITE_FAULTS=1 $(TEST_ENV) $(BIN)/python -m pytest tests/robustness

rehearsal: $(VENV)/.dev ## the paper's configuration over stand-ins of everything outside, killed once (minutes): docs/rehearsal.md
	GMNER_REHEARSAL=1 $(TEST_ENV) $(BIN)/python -m pytest tests/rehearsal

identity: $(VENV)/.runtime ## two fresh clones, one core and two: are all bytes of results/table1.csv and before it the same?
	$(BIN)/python tests/e2e/identity.py --target $(IDENTITY)

survival: $(VENV)/.dev ## kill a small demo more than fifty times, in every stage (some ten minutes): docs/survival.md
	GMNER_SURVIVAL=1 $(TEST_ENV) $(BIN)/python -m pytest tests/survival

check: lint types format-check dry-runs ## everything that needs no test run

backbone: $(VENV)/.runtime ## train the tiny backbone from scratch, into resources/pretrained (about an hour on two cores)
	$(BIN)/snakemake --cores $(CORES) resources/pretrained/tiny/manifest.json

$(VENV)/.runtime: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "Python 3.11 to 3.13 is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install $(TORCH_FLAGS) --constraint constraints.txt torch
	$(PIP) install --constraint constraints.txt --editable '.[all]'
	touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	touch $@

clean: ## remove the environment; results and downloads stay
	rm -rf $(VENV)

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'
