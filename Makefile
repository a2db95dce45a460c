# One entry for people and for CI: `make demo` and `make test` are all a newcomer needs.
PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.up-to-date

# Two threads on a busy machine are slower than one; the networks pin their own.
export OMP_NUM_THREADS ?= 1
export MPLBACKEND := Agg
export NO_MKDOCS_2_WARNING := 1

.PHONY: setup test test-all lint types docs pictures bench bench-small bench-headline demo clean

setup: $(STAMP)

# torch first and pinned, so that no later requirement pulls another one in.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make setup PYTHON=python3.11")'
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(STAMP)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/codespell

types: $(STAMP)
	$(BIN)/mypy

test: lint types
	$(BIN)/pytest -q -n $(WORKERS) --dist loadfile -m 'not slow'

test-all: lint types
	$(BIN)/pytest -q -n $(WORKERS) --dist loadfile --hypothesis-profile=default

# Documentation that is not executed is assumed false: commands parse, paths exist, examples run,
# and the site (site/index.html) is built without a warning.
docs: $(STAMP)
	$(BIN)/pytest -q tests/contracts
	$(BIN)/pytest -q --doctest-modules src
	$(BIN)/mkdocs build --strict

# The committed pictures, of generated brains alone.
pictures: $(STAMP)
	$(BIN)/anatomaly demo --sequence FLAIR -o runs/pictures
	cp runs/pictures/phantom_FLAIR/overview.png docs/images/demo_overview.png
	$(BIN)/python benchmarks/gallery.py --phantoms --results runs/pictures/gallery

# Without those that take hours or need the checkpoints of a training run.
bench: $(STAMP)
	for script in $(filter-out %/headline.py %/ablations.py %/loss_curves.py %/release.py,$(wildcard benchmarks/*.py)); do $(BIN)/python $$script || exit 1; done

# Minutes on two cores, no data needed; fails where AP differs from the committed table.
bench-small: $(STAMP)
	$(BIN)/anatomaly benchmark phantoms -o runs/bench_small --workers $(WORKERS) --compare-with benchmarks/results/phantoms.csv

# All methods side by side; needs the data folder (ANATOMALY_DATA) and hours. Goes on where it stopped.
bench-headline: $(STAMP)
	$(BIN)/python benchmarks/headline.py --workers $(WORKERS)

demo: $(STAMP)
	$(BIN)/anatomaly demo -o demo_output

clean:
	rm -rf $(VENV) build dist site demo_output .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
