# The two commands for newcomers are `make demo` and `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
REFERENCES := $(VENV)/.references

# A worker that has nothing left takes tests over from another.
SIDE_BY_SIDE := --numprocesses auto --dist worksteal

# What pyproject.toml promises; those that the machine has are tried.
VERSIONS := 3.11 3.12 3.13
find_python = $(firstword $(wildcard $(HOME)/.pyenv/versions/$(1).*/bin/python) $(shell command -v python$(1)))
# $(1) folder of the environment, $(2) interpreter, $(3) how uv chooses versions. It is made anew.
define test_with
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv venv --quiet --clear --python $(2) $(VENV)/$(1)
	$(BIN)/uv pip install --quiet --python $(VENV)/$(1)/bin/python --resolution $(3) --editable '.[offline,dev]'
	$(VENV)/$(1)/bin/python -P -c 'import sys, av, torch; print("$(1):", sys.version.split()[0], "PyAV", av.__version__, "torch", torch.__version__)'
	$(VENV)/$(1)/bin/pytest $(SIDE_BY_SIDE) -m 'not slow' $(TESTS)
endef

.PHONY: help install lock references demo test test-oldest test-versions test-slow lint typecheck format
.PHONY: bench gpu-check soak clean docs

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

# LOCKED=1 takes the versions of the lock file, each file by its SHA-256; else the newest allowed.
LOCK := requirements.lock
$(INSTALLED): pyproject.toml $(if $(LOCKED),$(LOCK))
	$(PYTHON) -m venv $(VENV)
ifdef LOCKED
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement $(LOCK)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
else
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[offline,dev]'
endif
	touch $@

# Tests hold losses and validators against these. Their pinned dependencies no longer import, so they
# come without; should they fail to install, those tests skip with the reason.
$(REFERENCES): $(INSTALLED)
	-$(BIN)/pip install --quiet --disable-pip-version-check torchmetrics tqdm pytorch-revgrad && \
	  $(BIN)/pip install --quiet --disable-pip-version-check --no-deps \
	    pytorch-adapt==0.0.83 pytorch-metric-learning==1.6.3
	touch $@

install: $(INSTALLED)  ## create the virtual environment with everything in it (LOCKED=1: to the byte)

# For all Pythons and systems at once. `make lock UPGRADE=--upgrade` takes newer versions.
lock: $(INSTALLED)  ## write the lock file anew from pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url \
	  --extra offline --extra dev --custom-compile-command 'make lock' $(UPGRADE) \
	  --output-file $(LOCK) pyproject.toml

demo: $(INSTALLED)  ## both stages on rendered videos, from nothing to a report
	$(BIN)/ta3n-demo

references: $(REFERENCES)  ## install other implementations that tests compare with

test: $(REFERENCES)  ## run the tests, several at once (TA3N_SHARED=DIR adds those on real clips)
	$(BIN)/pytest $(SIDE_BY_SIDE) -m 'not slow'

test-slow: $(REFERENCES)  ## run the tests of kills, stops, clusters and the demonstration, one by one
	$(BIN)/pytest -m slow

test-oldest: $(INSTALLED)  ## run the tests with the oldest dependencies allowed (TESTS=DIR for some)
	$(call test_with,oldest,$(BIN)/python,lowest-direct)

test-versions: $(foreach v,$(VERSIONS),test-$(v)-highest test-$(v)-lowest-direct)  ## each Python, newest and oldest

# A version of Python that the machine lacks is named and left out.
define version_rule
.PHONY: test-$(1)-$(2)
test-$(1)-$(2): $(INSTALLED)
	$(if $(call find_python,$(1)),$$(call test_with,$(1)-$(2),$(call find_python,$(1)),$(2)),@echo "no Python $(1) on this machine")
endef
$(foreach v,$(VERSIONS),$(foreach r,highest lowest-direct,$(eval $(call version_rule,$(v),$(r)))))

lint: $(INSTALLED)  ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: $(INSTALLED)  ## check types
	$(BIN)/mypy

docs: $(INSTALLED)  ## build the documentation site into build/site, its links and examples checked
	$(BIN)/python -P docs/build_site.py
	$(BIN)/pytest tests/docs

bench: $(INSTALLED)  ## measure both stages against their raw limits
	$(BIN)/python -P -m ta3n.extract.bench
	OMP_NUM_THREADS=1 $(BIN)/python -P -m ta3n.train.bench
	OMP_NUM_THREADS=1 $(BIN)/python -P -m ta3n.train.bench_scale

# The script's own exit code is 77 where there is no GPU; make's is 2, as for any error.
gpu-check: $(INSTALLED)  ## eight minutes for whoever has a GPU: its tests, the bench, gpu-check.json
	$(BIN)/python -P tests/support/gpu_check.py

soak: $(INSTALLED)  ## hours of faults: 50 kills, 10,000 clips, huge clips
	$(BIN)/pytest -s tests/soak/soak_faults.py tests/soak/soak_kills.py tests/soak/soak_memory.py

format: $(INSTALLED)  ## put the code in house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
