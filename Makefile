# Each target sets up what it needs in .venv; Python 3.11, pip and make are enough to start with.
PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(abspath $(VENV))/bin
export MPLBACKEND = agg

.PHONY: help setup demo test shuffle soak bench export outputs clean

help:      ; @sed -n 's/^## //p' Makefile

## make demo       simulate galaxies, train, predict others: the main job in a few minutes
demo: setup
	rm -rf demo
	$(BIN)/galfast demo --out demo

## make test       everything that is tested: no drift, ruff, notebooks, pytest
test: setup
	$(BIN)/python tests/no_drift.py
	$(BIN)/ruff check galfast tests benchmarks
	PATH="$(BIN):$$PATH" PYTHONPATH=. OMP_NUM_THREADS=1 $(BIN)/nbdev-test --n-workers 2
	PATH="$(BIN):$$PATH" OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadscope

## make shuffle    the tests of tests/ in three random orders
shuffle: setup
	for s in 1 2 3; do PATH="$(BIN):$$PATH" OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadscope --random-order --random-order-seed=$$s || exit 1; done

## make soak       hostile files, servers and kills, 10,000 of each kind: an hour or more
soak: setup
	PATH="$(BIN):$$PATH" OMP_NUM_THREADS=1 GALFAST_SOAK=$${GALFAST_SOAK:-10000} $(BIN)/python -m pytest -n 2 --dist loadscope tests/faults

## make bench      speed beside plain fastai, downloads, and the figures of README on the real galaxies of ../shared/data
bench: setup
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/downloads.py
	$(BIN)/python benchmarks/real_galaxies.py

## make export     notebooks -> modules, and clean the notebooks
export: setup
	$(BIN)/nbdev-export
	$(BIN)/nbdev-clean

## make outputs    run the notebooks and keep what they show
outputs: setup
	PATH="$(BIN):$$PATH" PYTHONPATH=. OMP_NUM_THREADS=1 $(BIN)/nbdev-test --save
	$(BIN)/nbdev-clean
	$(BIN)/python tests/tidy_outputs.py

## make setup      the environment alone
setup: $(VENV)/.done
$(VENV)/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt torch torchvision
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

clean:     ; rm -rf $(VENV) demo build *.egg-info
