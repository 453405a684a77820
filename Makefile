# make demo, make test and make lint each work alone, in a fresh clone, with nothing but Python 3.11 or newer.
# PYTHON=/path/to/python chooses the interpreter of a new .venv; ARGS="..." is passed on.

VENV := .venv
BIN := $(VENV)/bin
PROJECT := setup.cfg pyproject.toml constraints.txt
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Without build isolation, the build uses the pinned setuptools.
INSTALL := $(PIP) install --quiet --no-build-isolation --constraint constraints.txt

.PHONY: help demo test test-all lint clean
.DELETE_ON_ERROR:

help:
	@echo "make demo      answer questions about a small story"
	@echo "make test      run the tests;  ARGS=\"-k memory\" chooses some"
	@echo "make test-all  run those marked thorough as well; twice as long"
	@echo "make lint      check style, types and layers"
	@echo "make clean     remove .venv and what tools left behind"

demo: $(VENV)/app.stamp
	$(BIN)/memjax demo $(ARGS)

# The real corpora, where they lie beside the checkout. A MEMJAX_DATA of the caller's own stands, an empty one too.
ifneq ($(wildcard ../shared/data/.),)
test: export MEMJAX_DATA ?= $(abspath ../shared/data)
endif
test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

# Everything, the tests marked thorough as well; twice as long.
test-all: override ARGS += -m ""
test-all: test

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/app.stamp: $(VENV)/python.stamp $(PROJECT)
	@echo "Installing memjax and its extra app into $(VENV) ..."
	@$(INSTALL) --editable '.[app]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/python.stamp $(PROJECT)
	@echo "Installing memjax and its extras app and dev into $(VENV); about a minute ..."
	@$(INSTALL) --editable '.[app,dev]'
	@touch $@ $(VENV)/app.stamp

# A command that exists can still fail when it is run (a shim of a version manager; a Python without venv): try each.
$(VENV)/python.stamp:
	@for python in $(if $(PYTHON),"$(PYTHON)",python3.12 python3.11 python3); do \
	    if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	        echo "Making $(VENV) with $$("$$python" --version) ..."; \
	        "$$python" -m venv --clear $(VENV) || exit 1; \
	        $(PIP) install --quiet --constraint constraints.txt setuptools wheel || exit 1; \
	        touch $@; exit 0; \
	    fi; \
	done; \
	echo "memjax needs Python 3.11 or newer with its venv module; tried: $(if $(PYTHON),$(PYTHON),python3.12 python3.11 python3)." >&2; \
	echo "Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
	exit 1
