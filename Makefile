# Everything a developer runs, by name. Each target prepares what it needs first; a second run is quick.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
export UV_PYTHON_DOWNLOADS := never

CPP_SOURCES := $(shell find runtime/control -name CMakeLists.txt -o -name '*.cmake' -o -path '*/src/*.[ch]pp')
STAMPS := build/stamps
# Arguments of `make up`, for example ARGS=--once, and the scenarios of `make bench`.
ARGS ?=
# Which board `make image` builds for: docs/image.md lists them.
BOARD ?= qemu-x86-64
TIER ?= robot
SECONDS := 60
export TIER

.PHONY: help deps up test quick lint format image coverage mutation fuzz bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(STAMPS)/venv ## boot a robot and watch it; ARGS=--once checks it and powers off, ARGS=--host needs no VM
	@.venv/bin/holdfast up $(ARGS)

deps: $(STAMPS)/venv ## prepare this machine: Debian packages, .venv, the C++ side built into it

test: $(STAMPS)/venv ## lint, C++, Python, image and the suite on the booted image; TIER=full adds clang-tidy and the proofs
	@.venv/bin/python scripts/stages.py --tier $(TIER)

quick: $(STAMPS)/venv ## the stages of `make test` that take seconds
	@.venv/bin/python scripts/stages.py --tier quick

lint: $(STAMPS)/venv ## format check, ruff, mypy, shellcheck, ansible-lint, clang-tidy
	@.venv/bin/python scripts/stages.py --only lint

format: $(STAMPS)/venv ## rewrite Python and C++ in the house format
	@.venv/bin/ruff format .
	@find runtime/control -name "*.[ch]pp" -exec .venv/bin/clang-format -i {} +

image: $(STAMPS)/venv ## build the appliance image; BOARD=pi for another board than QEMU's PC
	@.venv/bin/holdfast image build --board $(BOARD) $(ARGS)

coverage: $(STAMPS)/venv ## line and branch coverage of C++ and Python: build/coverage
	@.venv/bin/python -m scripts.measure_coverage $(ARGS)

mutation: $(STAMPS)/venv ## every small fault in the safety kernel and the shield: build/mutation/report.json
	@.venv/bin/python -m scripts.mutation $(ARGS)

fuzz: $(STAMPS)/venv ## fuzz what reads from outside, SECONDS=60 each: build/fuzz
	@.venv/bin/python -m scripts.fuzz --seconds $(SECONDS) $(ARGS)

bench: $(STAMPS)/venv ## measure a controller tick (C++, Python, native) and the loop's cycle: build/bench.json, plots
	@.venv/bin/holdfast bench run tick $(ARGS)

clean: ## remove build/ and .venv; caches below ~/.cache/holdfast stay
	rm -rf build .venv

$(STAMPS)/packages: scripts/packages.txt scripts/bootstrap
	@scripts/bootstrap packages
	@mkdir -p $(@D) && touch $@

$(STAMPS)/venv: $(STAMPS)/packages pyproject.toml uv.lock scripts/uv.txt $(CPP_SOURCES)
	@scripts/bootstrap venv
	@touch $@
