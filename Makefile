# `make help` says what there is. PYTHON chooses the interpreter of .venv, ARGS goes to the command.
PYTHON ?= python3
ARGS ?=
SECONDS ?= 600
SEED ?= 1
BIN := .venv/bin
LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
        --generate-hashes --no-config --custom-compile-command "make lock" $(ARGS)

# Where this is set, each of the hundreds of processes that the tests start compiles all anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run test torture failover soak bench bench-peers check proto observability package synth docs lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

setup: .venv/.ready ## build .venv, where it is missing or older than what it is made from
	@:

run: setup ## start a local deployment in the foreground (ARGS="--workers 3")
	@exec $(BIN)/strongroom up $(ARGS)

# Five at a time, on two cores: a test of real processes waits for most of its time. In the order of
# tests/conftest.py, longest first: xdist would begin with the files that have the most tests.
test: setup ## run the tests (ARGS="-k lease")
	$(BIN)/pytest -n 5 --dist loadfile --no-loadscope-reorder $(ARGS)

torture: setup ## kill and stop workers under load and judge every answer (SECONDS=600 SEED=1)
	$(BIN)/python -m tests.support.torture --seconds $(SECONDS) --seed $(SEED)

failover: setup ## kill, stop and cut off workers under load; print what clients notice (ARGS="--seconds 8")
	$(BIN)/python -m tests.support.failover $(ARGS)

soak: setup ## mixed load, kills, drains and rotations for a time; print what grows (SECONDS=600 SEED=1)
	$(BIN)/python -m tests.support.soak --seconds $(SECONDS) --seed $(SEED)

bench-peers: setup ## measure Kinto, etcd and PostgreSQL beside Strongroom, on the same documents (ARGS="--rounds 1")
	$(BIN)/python -m benchmarks.peers $(ARGS)

bench: setup ## measure every figure against its floor (ARGS="--only NAME --rounds N --quick")
	$(BIN)/python -m benchmarks $(ARGS)

check: setup ## format, lint, types, import contracts, stale stubs, stale alert rules
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/ruff check --config .ci/ruff-tests.toml tests
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python proto/generate.py --check
	$(BIN)/python -m infra.observability --check

proto: setup ## write the stubs in layers/core/python/strongroom_pb from proto/
	$(BIN)/python proto/generate.py

observability: setup ## write the alert rules and the dashboard in infra/observability
	$(BIN)/python -m infra.observability

package: setup ## build the Lambda's function and its layer under build/lambda
	$(BIN)/python -m infra.packaging

synth: package ## write the CDK templates of every stage, build/cdk/<stage>/*.template.json
	$(BIN)/python -m infra

docs: setup ## build the documentation as a site, build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# All locks agree on versions, because dev.txt holds every package and binds the others.
lock: setup ## write requirements/ from pyproject.toml (ARGS=--upgrade takes newer versions)
	$(LOCK) --extra dev --output-file requirements/dev.txt
	$(LOCK) --extra rest --constraint requirements/dev.txt --output-file requirements/main_api.txt
	$(LOCK) --extra layer --constraint requirements/dev.txt --output-file requirements/layer.txt
	$(LOCK) --extra rpc --extra otel --constraint requirements/dev.txt --output-file requirements/main_api_rpc.txt
	$(LOCK) --extra worker --extra otel --constraint requirements/dev.txt --output-file requirements/processing_fn.txt

clean: ## remove .venv and what the tools left behind
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Two steps, so that an edit of pyproject.toml does not install every package again. Each leaves its
# mark as the last thing it does: what was interrupted has none and starts again from nothing. What
# takes pip more than a minute, uv does in seconds; but it does not read pip's configuration: where
# only that leads to the packages, pip installs them. Of two that take longest to compile, little is
# ever imported.
.venv/.packages: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Strongroom needs Python 3.11 or newer as $(PYTHON); or name one: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Strongroom needs Python's venv module (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "Building .venv, which takes a minute"
	@rm -rf .venv
	@$(PYTHON) -m venv .venv
	@awk '/^[^ #]/ {is_uv = /^uv==/} is_uv' requirements/dev.txt >.venv/uv.txt
	@$(BIN)/python -m pip install -qq --require-hashes --no-deps -r .venv/uv.txt
	@$(BIN)/uv pip install --quiet --link-mode copy --python $(BIN)/python --require-hashes \
	  -r requirements/dev.txt || \
	  $(BIN)/python -m pip install -qq --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m compileall -qq -j 0 -x '/(aws_cdk|sympy)/' .venv/lib || true
	@touch $@

.venv/.ready: .venv/.packages pyproject.toml
	@rm -f .venv/.packages
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation --editable .
	@touch .venv/.packages $@
