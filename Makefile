# Everything a developer types. Each target makes the environment that it needs.

PYTHON ?= python3
SONG ?= examples/feelings.flac
OUTPUT ?= separated
BIN := .venv/bin

.PHONY: demo test test-long check bench clean help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo: .venv/core  ## separate the example, or another song: make demo SONG=path
	$(BIN)/stemlight separate "$(SONG)" --output "$(OUTPUT)" --overwrite

test: .venv/dev  ## run all tests
	$(BIN)/python -m pytest

test-long: .venv/dev  ## run the tests that take minutes: kills at random moments
	$(BIN)/python -m pytest -m long

check: .venv/dev  ## lint, formatting, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_layers.py tests/test_public_api.py

bench: .venv/dev  ## measure speed and memory; wants a quiet machine
	$(BIN)/python -m bench.speed
	$(BIN)/python -m bench.memory

clean:  ## remove the environment and all caches
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/core: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

.venv/dev: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	# Open-Unmix asks for torchaudio, which may bring another PyTorch; its networks do without.
	$(BIN)/python -m pip install --quiet --no-deps openunmix==1.3.0
	# TinySoundFont asks for PyAudio, which is built for an audio device; rendering does without.
	$(BIN)/python -m pip install --quiet --no-deps tinysoundfont==0.3.7
	@touch $@ .venv/core
