# make up      run Whetstone from this folder
# make test    run everything that must hold
# make help    say what else there is

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# Where checks may write, so that they leave the data folder alone.
SCRATCH := $(CURDIR)/$(VENV)/scratch
# One file is read inside a tag, where a line break would be too much.
TEMPLATES = $$(find templates -name "*.html" ! -name _own_looks.html)
PYTEST_ARGS ?=
# Tests often wait for a browser, a worker or a disk, so there is one process more than cores.
# WORKERS=0 runs them in one.
WORKERS ?= $(shell $(BIN)/python -c 'import os; print(len(os.sched_getaffinity(0)) + 1)')
# No test in these needs the database alone; collecting them takes longer than all that do.
NO_DATABASE := $(addprefix --ignore=tests/,browser stack training/demo training/engine \
	training/test_reproducing.py training/afterwards/test_merging.py)
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 --dist worksteal --durations 15

# What is installed is compiled when it is first imported, and kept. Where the environment forbids
# that, every process compiles anew: half a minute for each start of the engine.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help up install doctor check test test-thorough lint fmt docs pins screenshots bench-rate bench-render bench-sample bench-train bench-train-gpu gpu-proof bench-rank faults-rounds simulate clean

help:
	@echo "make up           install what is needed and run Whetstone; Ctrl-C stops it"
	@echo "make check        what to run before a commit: lint, types, boundaries, quick tests"
	@echo "make test         every check and every test (PYTEST_ARGS='-k rating' narrows them)"
	@echo "make test-thorough  the same, with more kills and every page in every theme and size"
	@echo "make lint         the checks alone"
	@echo "make fmt          put code and templates into their form"
	@echo "make docs         the docs as a site, in var/site"
	@echo "make pins         requirements*.txt from requirements*.in (ARGS=--upgrade: the newest)"
	@echo "make doctor       look for what is wrong with an installation"
	@echo "make simulate     a running Whetstone, rated by simulated raters for two rounds"
	@echo "make screenshots  pictures of the pages, taken in a real browser"
	@echo "make bench-render how long hostile and real text takes to render"
	@echo "make bench-train  the training benchmark"
	@echo "make bench-train-gpu  the same on a GPU, larger shapes"
	@echo "make gpu-proof    is this CUDA card fit for rounds, and how fast; without one, what can be checked"
	@echo "make bench-sample the sampling benchmark, beside transformers' two ways"
	@echo "make bench-rate   the rating benchmark, beside Label Studio (installed when first run)"
	@echo "make bench-rank   how often the ranking's intervals and the gate's verdicts are right"
	@echo "make faults-rounds  200 rounds of a tiny model under injected faults"
	@echo "make clean        remove the virtual environment and caches; the data stays"

up: $(VENV)/runtime
	@$(BIN)/python manage.py up

install: $(VENV)/runtime

doctor: $(VENV)/runtime
	@$(BIN)/python manage.py doctor

# Several processes compute at once; threads of their own would only wait for each other.
test: export OMP_NUM_THREADS := 1
# PostgreSQL comes first, so that the last lines are the summary of the whole run.
test: $(VENV)/dev lint
	@$(BIN)/python -m tests.browser.find_chromium || true
	@echo "The tests that need only a database, on PostgreSQL:"
	$(BIN)/python -m tests.postgres -- $(PYTEST) -q -m database $(NO_DATABASE) $(PYTEST_ARGS)
	@echo "All tests:"
	$(PYTEST) $(PYTEST_ARGS)

# What to run before a commit: no browser, no worker, no peer, no second database.
check: export OMP_NUM_THREADS := 1
check: $(VENV)/dev lint
	$(PYTEST) -q -m "not browser and not stack and not peer and not slow" $(PYTEST_ARGS)

test-thorough: export WHETSTONE_THOROUGH := 1
test-thorough: test

lint: export WHETSTONE_HOME := $(SCRATCH)
lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/djade --check --target-version 5.2 $(TEMPLATES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run
	WHETSTONE_URL=https://whetstone.example.org $(BIN)/python manage.py check --deploy --fail-level WARNING

fmt: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/djade --target-version 5.2 $(TEMPLATES)

docs: $(VENV)/dev
	$(BIN)/python -m tests.generated_docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs var/site
	@echo "The docs are in var/site/index.html"

# The pins follow from requirements*.in. pip-tools has an environment of its own; ARGS=--upgrade
# takes the newest of everything. torch is written without the suffix of the build that was found.
COMPILE = $(SCRATCH)/pip-tools/bin/pip-compile --quiet --no-strip-extras --no-emit-index-url \
	--no-emit-trusted-host --no-emit-find-links --annotation-style=line --allow-unsafe $(ARGS)
pins: export CUSTOM_COMPILE_COMMAND := make pins
pins: | $(BIN)/python
	@test -x $(SCRATCH)/pip-tools/bin/pip-compile || { \
		$(PYTHON) -m venv $(SCRATCH)/pip-tools && \
		$(SCRATCH)/pip-tools/bin/pip install --quiet pip-tools==7.6.2; }
	@for kind in "" -s3 -dev; do \
		$(COMPILE) --output-file requirements$$kind.txt requirements$$kind.in && \
		sed -i 's/+cpu//' requirements$$kind.txt || exit 1; \
	done

screenshots: $(VENV)/dev
	$(BIN)/python -m tests.browser.screenshots

bench-render: $(VENV)/dev
	$(BIN)/python -m benchmarks.render

bench-train: $(VENV)/dev
	$(BIN)/python -m benchmarks.train

bench-sample: $(VENV)/dev
	$(BIN)/python -m benchmarks.sample

# Needs a CUDA torch in the virtual environment (requirements-gpu.txt).
bench-train-gpu: $(VENV)/dev
	$(BIN)/python -m benchmarks.train --gpu --shape 0.6B
	$(BIN)/python -m benchmarks.train --gpu --shape 8B

# PARTS=small,speed narrows it; GPU_PROOF_ARGS="--data FOLDER" brings HH-harmless. Also without make:
# python3 -m benchmarks.gpu_proof
PARTS ?=
gpu-proof: $(VENV)/runtime
	$(BIN)/python -m benchmarks.gpu_proof --parts "$(PARTS)" $(GPU_PROOF_ARGS)

# Label Studio goes into a folder of its own under var/; without it: RATE_ARGS=
RATE_ARGS ?= --label-studio
bench-rate: $(VENV)/dev
	$(BIN)/python -m benchmarks.rate $(RATE_ARGS)

bench-rank: $(VENV)/dev
	$(BIN)/python -m benchmarks.rank

# FAULTS_ARGS="--rounds 20" is a shorter one.
FAULTS_ARGS ?= --rounds 200 --seed 0
faults-rounds: $(VENV)/dev
	$(BIN)/python -m benchmarks.faults $(FAULTS_ARGS)

simulate: $(VENV)/runtime
	$(BIN)/python manage.py simulate --project demo --raters 8 --judgements 400 --rounds 2

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the virtual environment; the stamps are as old as the last installation ---

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed and was not found."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed; $(PYTHON) is older. Say which: make PYTHON=…"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments; on Debian: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime: requirements.txt | $(BIN)/python
	@$(BIN)/python config/launch/install.py requirements.txt
	@touch $@

$(VENV)/dev: requirements-dev.txt | $(BIN)/python
	@$(BIN)/python config/launch/install.py requirements-dev.txt
	@touch $@ $(VENV)/runtime
