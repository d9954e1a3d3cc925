# Works in this folder only: .venv/ holds the Python packages, .local/ the private servers. Both may be deleted.
# Paths are relative, because make takes a space in a name for its end.

PYTHON ?= python3
ARGS ?=
MINUTES ?= 20
SEED ?=
ONLY ?=
DISK ?=
SIZE ?= small
PARTS ?=
SUITE ?= bookworm

PYTHON_OF_VENV := .venv/bin/python
INSTALLED := .venv/installed
BENCH_INSTALLED := .venv/bench-installed
DOCS_INSTALLED := .venv/docs-installed
PIP_INSTALL := -m pip install --quiet --no-cache-dir --disable-pip-version-check
UV_COMPILE := UV_CUSTOM_COMPILE_COMMAND='make lock' .local/lock/bin/uv pip compile --no-cache --quiet --universal \
    --python-version 3.11 --no-emit-index-url --generate-hashes $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup demo run test long drills machine faults bench lint plans history pages metrics screenshots docs lock clean

help:
	@printf '%s\n' \
	    'make demo     the main job from end to end, on sample ledgers, with servers of its own' \
	    'make run      the whole stack with pages and samples, until Ctrl-C; its data stay in .local/run/' \
	    'make test     the tests; ARGS="-k name" goes to pytest' \
	    'make long     the tests that take long: more midnights, watchdogs that wait; CI runs them, too' \
	    'make drills   backup and restore, Redis replaced, full disks: what docs/drills.md says, done' \
	    'make machine  docs/install.md word for word on a new server, in a virtual machine: SUITE=bookworm, trixie or noble' \
	    'make faults   MINUTES=20 of faults, chosen by SEED=number or ONLY=one, while writers write; test has a short one' \
	    'make bench    SIZE=small (minutes) or full (hours), PARTS="night writes": docs/benchmarks.md and its plots' \
	    'make lint     the linters and the type checker' \
	    'make plans    how PostgreSQL runs the rules, for 1, 500 and LICENSES=100000 licenses' \
	    'make history  what a row of history costs the engine' \
	    'make pages    what each page takes with LICENSES=100000 licenses' \
	    'make metrics  what a scrape takes with LICENSES=100000 licenses, and what counting costs the engine' \
    'make screenshots  docs/screenshots/ anew, by a real browser' \
	    'make docs     docs/ as a site in .local/site/; a broken link fails' \
	    'make lock     requirements*.txt from requirements*.in; ARGS=--upgrade takes newer versions' \
	    'make setup    .venv/, which the others make when it is missing; PYTHON=python3.12 chooses the Python' \
	    'make clean    deletes .venv/, .local/ with its databases, and caches'

setup: $(INSTALLED)

# The stamp is gone while this runs: what an interrupted setup leaves behind is not trusted, but made anew.
$(INSTALLED): requirements-dev.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo 'Python 3.11 or newer is needed; where it is not python3: make setup PYTHON=/path/to/python' >&2; exit 1; }
	@echo 'Setting up .venv …'
	@if [ -e $@ ]; then rm $@; else "$(PYTHON)" -m venv --clear .venv; fi
	@$(PYTHON_OF_VENV) $(PIP_INSTALL) --require-hashes -r requirements-dev.txt
	@touch $@

# `exec`: a signal to make reaches the launcher, not a shell in between.
demo: $(INSTALLED)
	@exec $(PYTHON_OF_VENV) deploy/local/servers.py run --temporary -- $(PYTHON_OF_VENV) deploy/local/demo.py

run: $(INSTALLED)
	@exec $(PYTHON_OF_VENV) deploy/local/servers.py run --instance run -- $(PYTHON_OF_VENV) deploy/local/run.py

# Three at a time, each with servers of its own: most of the time tests wait for processes, and two cores have room.
test: $(INSTALLED)
	@exec $(PYTHON_OF_VENV) -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m 'not long and not machine' $(ARGS)

long: $(INSTALLED)
	@exec $(PYTHON_OF_VENV) -m pytest -n 3 --dist load -m long $(ARGS)

# What an operator tries before it is needed: docs/drills.md.
drills: $(INSTALLED)
	@exec $(PYTHON_OF_VENV) -m pytest -v -m long tests/deploy $(ARGS)

# Takes root, QEMU, debootstrap, and most of an hour, for the processor is emulated; ACCELERATOR=kvm takes the real one.
machine: $(INSTALLED)
	@SUITE='$(SUITE)' TOOLS_ARE_THERE=true exec $(PYTHON_OF_VENV) -m pytest -v -s -m machine tests/machine $(ARGS)

# What happened, and how to replay it, is printed; logs stay in .local/faults*/.
faults: $(INSTALLED)
	@exec $(PYTHON_OF_VENV) tests/faults/storm.py --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) \
	    $(if $(ONLY),--only '$(ONLY)') $(if $(DISK),--disk '$(DISK)')

$(BENCH_INSTALLED): requirements-bench.txt $(INSTALLED)
	@$(PYTHON_OF_VENV) $(PIP_INSTALL) --require-hashes -r requirements-bench.txt
	@touch $@

bench: $(BENCH_INSTALLED)
	@SIZE="$(SIZE)" PARTS="$(PARTS)" $(PYTHON_OF_VENV) bench/benchmarks.py

lint: $(INSTALLED)
	$(PYTHON_OF_VENV) -m ruff check .
	$(PYTHON_OF_VENV) -m ruff format --check .
	$(PYTHON_OF_VENV) -m mypy
	PYTHONPATH=backend $(PYTHON_OF_VENV) .venv/bin/lint-imports
	$(PYTHON_OF_VENV) deploy/lint/house_rules.py
	DATABASE_URL=postgres://nowhere/none $(PYTHON_OF_VENV) -W ignore::RuntimeWarning backend/manage.py makemigrations --check --dry-run

# How PostgreSQL runs the rules: LICENSES=100000 says for how many.
plans: $(INSTALLED)
	@exec $(PYTHON_OF_VENV) deploy/local/servers.py run --temporary -- $(PYTHON_OF_VENV) bench/plans.py

# What a row of history costs the engine: LICENSES=20000 says among how many.
history: $(INSTALLED)
	@exec $(PYTHON_OF_VENV) deploy/local/servers.py run --temporary -- $(PYTHON_OF_VENV) bench/history.py

# What each page takes: LICENSES=100000 says among how many.
pages: $(INSTALLED)
	@exec $(PYTHON_OF_VENV) deploy/local/servers.py run --temporary -- $(PYTHON_OF_VENV) bench/pages.py

# What a scrape takes, and what counting costs the engine: LICENSES=100000 says among how many.
metrics: $(INSTALLED)
	@exec $(PYTHON_OF_VENV) deploy/local/servers.py run --temporary -- $(PYTHON_OF_VENV) bench/metrics.py

screenshots: $(INSTALLED)
	@exec $(PYTHON_OF_VENV) deploy/local/servers.py run --temporary -- $(PYTHON_OF_VENV) deploy/local/screenshots.py

$(DOCS_INSTALLED): requirements-docs.txt $(INSTALLED)
	@$(PYTHON_OF_VENV) $(PIP_INSTALL) --require-hashes -r requirements-docs.txt
	@touch $@

docs: $(DOCS_INSTALLED)
	@NO_MKDOCS_2_WARNING=true $(PYTHON_OF_VENV) -m mkdocs build
	@echo 'The site is in .local/site/. To look at it: $(PYTHON_OF_VENV) -m http.server --bind 127.0.0.1 --directory .local/site'

lock:
	@"$(PYTHON)" -m venv --clear .local/lock
	@.local/lock/bin/python $(PIP_INSTALL) uv
	$(UV_COMPILE) requirements.in -o requirements.txt
	$(UV_COMPILE) requirements-dev.in -o requirements-dev.txt
	$(UV_COMPILE) requirements-bench.in -o requirements-bench.txt
	$(UV_COMPILE) requirements-docs.in -o requirements-docs.txt
	@rm -rf .local/lock

clean:
	rm -rf .venv .local .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@"$(PYTHON)" -c 'import pathlib, shutil; [shutil.rmtree(p) for p in list(pathlib.Path().rglob("__pycache__"))]'
