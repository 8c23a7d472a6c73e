# EchoStream: each target installs what it needs by itself, and has nothing to do the second time.
# ARGS="..." goes to the program: make run ARGS="--for 30 --summary out.json", make test ARGS="tests/audio -x".
# PYTHON=python3.12 chooses an interpreter (3.11 to 3.13).

PY := .venv/bin/python
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help run install uninstall deb release test test-home-assistant test-system test-arm64 bench bench-tones fuzz hwtest torture lint \
	docs clean setup-run setup-dev setup-bench

help: ## this list
	@echo 'make TARGET [ARGS="..."]'
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: setup-run ## the gateway with ./config.json; hardware that is missing is simulated
	@$(PY) -m echostream run --simulate missing $(ARGS)

install: ## as root: install it as a service, or upgrade what is installed (docs/raspberry-pi.md)
	@packaging/install.sh $(ARGS)

uninstall: ## as root: remove the service; configuration and data stay
	@packaging/uninstall.sh $(ARGS)

deb: ## a Debian package for this machine in dist/ (ARGS="--for trixie/arm64": for another)
	@packaging/build_deb.sh $(ARGS)

release: ## the same as an archive that needs no network to install, in dist/
	@packaging/build_release.sh $(ARGS)

test: setup-dev ## the tests
	@$(PY) tests/run_all.py $(ARGS)

test-home-assistant: setup-dev ## what is published, judged by Home Assistant itself (installs it aside)
	@ECHOSTREAM_HOME_ASSISTANT=1 $(PY) -m pytest tests/mqtt/test_home_assistant.py -rs $(ARGS)

lint: setup-dev ## ruff, mypy --strict
	@$(PY) -m ruff check
	@$(PY) -m mypy

test-system: setup-dev ## as root: the package in a booted Debian: service, watchdog, upgrade (ARGS="trixie")
	@$(PY) tests/system/run.py $(ARGS)

test-arm64: ## as root: on an emulated arm64: set-up, a gateway, the tests of the pure parts
	@python3 tests/system/arm64.py $(ARGS)

bench: setup-bench ## the benchmarks, beside their peers (ARGS="--json", ARGS="delay cpu")
	@$(PY) -m tests.bench $(ARGS)

bench-tones: setup-bench ## how good the ear is (ARGS="--quick", ARGS="two_tone talk_off")
	@$(PY) -m tests.bench_tones $(ARGS)

fuzz: setup-dev ## a million inputs to each parser (ARGS="--parser NAME --seed 7")
	@$(PY) tests/fuzz/run.py --inputs 1000000 $(ARGS)

torture: setup-dev ## kill the gateway while it keys radios and records, cut its power (ARGS="--seed 7")
	@$(PY) tests/torture/run.py $(ARGS)

hwtest: setup-dev ## the tests on a real Raspberry Pi; skips, with the reason, what is not wired
	@$(PY) -m pytest hwtests -rs $(ARGS)

docs: setup-run ## write docs/configuration.md from the models, draw the pictures of docs/
	@$(PY) -m echostream.config.reference > docs/configuration.md.new
	@mv docs/configuration.md.new docs/configuration.md
	@$(PY) docs/tones/make_pictures.py
	@$(PY) docs/recordings/make_picture.py
	@$(PY) docs/hardware/make_pictures.py

clean: ## remove what make made: .venv, caches
	@rm -rf .venv .venv-home-assistant .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info .lgd-nfy*
	@find echostream tests hwtests -name __pycache__ -type d -prune -exec rm -rf {} +

setup-run setup-dev setup-bench: setup-%:
	@scripts/setup.sh $*
