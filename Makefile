# make demo    the whole flow on real servers, started and stopped for you
# make cdc     a PostgreSQL and Debezium in front of it; Redis is compared with the database, row by row
# make shop    a shop that changes its database, and a page on which one sees Redis follow, until Ctrl-C
# make up      servers, worker, bridge and Flower at their usual ports, until Ctrl-C; it keeps its data
# make clean-data  which this deletes
# make test    within minutes: would every broken guarantee be noticed? On real servers, with nothing else installed
# make test-all  all tests, all faults among them; with WITHOUT=core those that `make test` leaves
# make faults  every part of a real cluster killed, paused, cut off and wiped under load, and what must hold
# make soak    faults at random under load, for MINUTES=10, by SEED=… or one that it prints; then the checker's report
# make bench   the pipeline's speed beside that of its peers, on servers started for it
# make check   style, types, borders between the rooms, spelling, the documents' links
# make docs    the documentation as a site, in build/site
# Everything is installed into .venv by the first of them. Needed beforehand: Python 3.11 or later, and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
MINUTES ?= 10
# The servers' programs, once and visibly; nothing when they are here.
FETCH := $(BIN)/python -m servers.fetch
# Side by side, each with servers of its own: most of a test is waiting, of those with faults even more.
JOBS ?= 4
JOBS_OF_ALL ?= 6
PYTEST := $(BIN)/python -m pytest --dist loadscope --no-loadscope-reorder --numprocesses

DOCS = NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict # the variable: without a notice of its makers' plans

.PHONY: set-up demo cdc shop test test-all faults soak bench check docs format lock settings up clean-data clean

set-up: $(INSTALLED)
	@$(FETCH)

demo: $(INSTALLED)
	@$(FETCH)
	@$(BIN)/python -m examples.demo

cdc: $(INSTALLED)
	@$(FETCH)
	@$(BIN)/python -m examples.cdc

shop: $(INSTALLED)
	@$(FETCH)
	@$(BIN)/python -m examples.shop

test: $(INSTALLED)
	@$(FETCH)
	@$(PYTEST) $(JOBS) -m core

test-all: $(INSTALLED)
	@$(FETCH) --share-classes
	@$(PYTEST) $(JOBS_OF_ALL) $(if $(WITHOUT),-m "not ($(WITHOUT))")

faults: $(INSTALLED)
	@$(FETCH) --share-classes
	@$(PYTEST) $(JOBS_OF_ALL) tests/faults

soak: $(INSTALLED)
	@$(FETCH)
	@$(BIN)/python -m tests.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

bench: $(INSTALLED)
	@$(FETCH)
	@$(BIN)/python -m benchmarks

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(DOCS)

docs: $(INSTALLED)
	$(DOCS)
	@echo "the site is in build/site/index.html"

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The lock files hold for every platform and every Python that pyproject.toml allows: one for work on the project, and
# for the image one of what the wheel needs and one of what builds it, both at the versions of the first.
COMPILE = $(BIN)/uv pip compile --system-certs --universal --generate-hashes --python-version 3.11 --no-annotate --quiet

lock: $(INSTALLED)
	$(COMPILE) --all-extras pyproject.toml -o requirements.lock
	$(COMPILE) --constraints requirements.lock --extra pipeline pyproject.toml -o requirements-runtime.lock
	echo setuptools | $(COMPILE) --constraints requirements.lock - -o requirements-build.lock

# The tables of settings in the documentation, from the code.
settings: $(INSTALLED)
	$(BIN)/python -m tests.settings_table

up: $(INSTALLED)
	@$(FETCH)
	@$(BIN)/python -m servers up -- "$(CURDIR)/$(BIN)/python" -m examples.up

clean-data: $(INSTALLED)
	@$(BIN)/python -m servers clean

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) scripts/set_up.py $(VENV)
	@touch $@
