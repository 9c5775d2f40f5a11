# `make demo` and `make test` set everything up: a virtual environment, packages, an embedded PostgreSQL, migrations.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

.PHONY: demo test lint bench bench-smoke freeze clean

demo: $(INSTALLED)
	$(BIN)/aisle demo

# Each test process has its own server, and waits now and then: three keep two cores busy. One process runs all tests of
# a file, because they share slow fixtures. The order is that of the folders: files with a single long test come first,
# and the many short ones of tests/unit last.
PYTEST := $(BIN)/pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder

test: $(INSTALLED) lint
	$(PYTEST) -m "not slow"
	AISLE_TEST_POSTGRES=16 $(PYTEST) -q tests/sql tests/migrations $(addprefix tests/integration/test_, attach.py triggers.py queue.py pipeline.py settings.py::test_settings_of_a_role_change_nothing)
	@echo
	@echo "All passed. Next: make demo (see it work), make bench (measure it)."

lint: $(INSTALLED) $(VENV)/typecheck/aisle
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	MYPYPATH=$(VENV)/typecheck $(BIN)/mypy -p aisle.cli $(addprefix -p aisle., commands db demo discovery embedder files migrations reports trainers)
	$(BIN)/lint-imports

# A step of a release: it freezes the SQL of the newest revision.
freeze: $(INSTALLED)
	$(BIN)/python -m aisle.migrations.freeze

bench: $(VENV)/bench
	$(BIN)/pytest -q -m slow
	$(BIN)/python benchmarks/run.py

# Checks that the benchmarks run. Their figures mean nothing.
bench-smoke: $(VENV)/bench
	$(BIN)/python benchmarks/run.py --smoke -o /dev/null

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# constraints.txt pins the tested versions.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/pip || $(PYTHON) -c 'import sys; sys.exit("Aisle needs Python 3.11 or newer: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV)
	$(PIP) torch
	$(PIP) -e '.[dev]'
	touch $@

# The other systems that the benchmarks measure.
$(VENV)/bench: $(INSTALLED)
	$(PIP) -e '.[bench]'
	touch $@

# mypy does not run the import hook of an editable install, so a link to this folder is its package `aisle`.
$(VENV)/typecheck/aisle:
	mkdir -p $(dir $@)
	ln -sfn $(CURDIR) $@
