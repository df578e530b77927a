# Everything a developer types. Each target makes the environment that it needs.

PYTHON ?= python3
SONG ?= examples/feelings.flac
OUTPUT ?= separated
BIN := .venv/bin

.PHONY: demo test test-long chaos check web check-web audit bench clean help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo: .venv/core  ## separate the example, or another song: make demo SONG=path
	$(BIN)/stemlight separate "$(SONG)" --output "$(OUTPUT)" --overwrite

test: .venv/dev  ## run all tests
	$(BIN)/python -m pytest

test-long: .venv/dev  ## run the tests that take minutes: kills at random moments
	$(BIN)/python -m pytest -m long

chaos: .venv/dev  ## run the tests that kill processes and nodes of Ray
	$(BIN)/python -m pytest -m chaos tests/batch

check: .venv/dev  ## lint, formatting, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_layers.py tests/test_public_api.py

web: web/node_modules/.package-lock.json  ## build the studio's page; needs Node 20.19 or newer
	cd web && npm run build

check-web: web/node_modules/.package-lock.json  ## types, lint, tests of the page, and is it built
	cd web && npm run check && npm test && npx vite build --outDir ../build/page --emptyOutDir
	diff -r build/page src/stemlight/serve/page

audit: .venv/dev  ## look up known vulnerabilities of all dependencies; needs a network
	$(BIN)/python .ci/audit.py

bench: .venv/dev  ## measure speed and memory; wants a quiet machine
	$(BIN)/python -m bench.speed
	$(BIN)/python -m bench.memory

clean:  ## remove the environment and all caches
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -m venv .venv

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	cd web && npm ci
	@touch $@

.venv/core: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

.venv/dev: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	# Open-Unmix asks for torchaudio, which may bring another PyTorch; its networks do without.
	$(BIN)/python -m pip install --quiet --no-deps openunmix==1.3.0
	# TinySoundFont asks for PyAudio, which is built for an audio device; rendering does without.
	$(BIN)/python -m pip install --quiet --no-deps tinysoundfont==0.3.7
	# The generator of clients asks for an older Typer; generating does without.
	$(BIN)/python -m pip install --quiet --no-deps openapi-python-client==0.29.1
	@touch $@ .venv/core
