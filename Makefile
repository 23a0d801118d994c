# The two commands for newcomers are `make demo` and `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
REFERENCES := $(VENV)/.references

# A worker that has nothing left takes tests over from another.
SIDE_BY_SIDE := --numprocesses auto --dist worksteal

.PHONY: help install references demo test test-slow lint typecheck format bench soak clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[offline,dev]'
	touch $@

# Tests hold losses and validators against these. Their pinned dependencies no longer import, so they
# come without; should they fail to install, those tests skip with the reason.
$(REFERENCES): $(INSTALLED)
	-$(BIN)/pip install --quiet --disable-pip-version-check torchmetrics tqdm pytorch-revgrad && \
	  $(BIN)/pip install --quiet --disable-pip-version-check --no-deps \
	    pytorch-adapt==0.0.83 pytorch-metric-learning==1.6.3
	touch $@

install: $(INSTALLED)  ## create the virtual environment with everything in it

demo: $(INSTALLED)  ## both stages on rendered videos, from nothing to a report
	$(BIN)/ta3n-demo

references: $(REFERENCES)  ## install other implementations that tests compare with

test: $(REFERENCES)  ## run the tests, several at once (TA3N_SHARED=DIR adds those on real clips)
	$(BIN)/pytest $(SIDE_BY_SIDE) -m 'not slow'

test-slow: $(REFERENCES)  ## run the tests of kills, stops, clusters and the demonstration, one by one
	$(BIN)/pytest -m slow

lint: $(INSTALLED)  ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: $(INSTALLED)  ## check types
	$(BIN)/mypy

bench: $(INSTALLED)  ## measure both stages against their raw limits
	$(BIN)/python -P -m ta3n.extract.bench
	OMP_NUM_THREADS=1 $(BIN)/python -P -m ta3n.train.bench

soak: $(INSTALLED)  ## hours of faults: 50 kills, 10,000 clips, huge clips
	$(BIN)/pytest -s tests/soak/soak_faults.py tests/soak/soak_kills.py tests/soak/soak_memory.py

format: $(INSTALLED)  ## put the code in house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
