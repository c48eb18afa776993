# make demo   see both jobs done on images drawn here        (a few minutes)
# make test   every check there is: ruff, mypy, all tests     (a quarter of an hour on two cores)
# make fast   the same without the slow tests
# make portable  the numerical tests under other instruction sets and thread counts  (an hour)
# make soak   kill, fill and corrupt, and print what was survived  (half an hour)
# make coverage  run the tests and say which lines and branches they reach
# make docs   build the documentation site strictly: build/site/index.html
# make bench  the short benchmarks; benchmarks/results/ keeps their figures  (ten minutes)
# make dependencies  look for known vulnerabilities of the packages in .venv  (needs a network)
# make clean  remove what these made

PYTHON ?= python3
BIN := .venv/bin

export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: help demo test fast portable soak coverage docs bench dependencies lint clean

help:
	@sed -n 's/^# make/make/p' Makefile

demo: .venv/demo.stamp
	$(BIN)/python examples/demo.py demo

# Tests are many and small: a process for each core, and one thread in each. A file stays whole, as
# its tests share what took long to make.
PARALLEL := --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder
PYTEST := $(BIN)/pytest $(PARALLEL)
test fast coverage: export TF_NUM_INTRAOP_THREADS = 1
test fast coverage: export TF_NUM_INTEROP_THREADS = 1

test: lint
	$(PYTEST)

fast: lint
	$(PYTEST) -m "not slow and not faults"

# What TensorFlow computes depends on oneDNN, on the instructions it may use and on the number of
# threads. Without oneDNN the instruction set cannot be chosen. Each run also has another time zone,
# umask and locale. ISA "DEFAULT" is the machine's own.
NUMERICAL := tests/backbones tests/optimizers tests/features tests/heads tests/classifiers \
	tests/finetuning tests/stylization tests/sweeping tests/inspecting
portable: .venv/dev.stamp
	@set -e; for setting in "0 DEFAULT 1 UTC C.UTF-8 022" "0 DEFAULT 2 Asia/Kathmandu C 077" \
		"1 SSE41 1 Pacific/Kiritimati C.UTF-8 077" "1 SSE41 2 UTC C 022" \
		"1 AVX2 1 America/St_Johns C 027" "1 AVX2 2 UTC C.UTF-8 077" \
		"1 DEFAULT 1 Australia/Lord_Howe C.UTF-8 022" "1 DEFAULT 2 UTC C 022"; do \
		set -- $$setting; \
		echo "oneDNN $$1, instruction set $$2, $$3 threads, time zone $$4, locale $$5, umask $$6"; \
		( umask $$6; TF_ENABLE_ONEDNN_OPTS=$$1 ONEDNN_MAX_CPU_ISA=$$2 TF_NUM_INTRAOP_THREADS=$$3 \
			TF_NUM_INTEROP_THREADS=1 OMP_NUM_THREADS=$$3 TZ=$$4 LC_ALL=$$5 \
			$(PYTEST) -q -m "not slow and not faults" $(NUMERICAL) ); \
	done

# One run after the other, as what is counted is printed at the end.
soak: export NSTK_SOAK = 1
soak: export TF_NUM_INTRAOP_THREADS = 1
soak: export TF_NUM_INTEROP_THREADS = 1
soak: .venv/dev.stamp
	$(BIN)/pytest --timeout 3600 -m faults tests/faults

coverage: .venv/dev.stamp
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PARALLEL) -m "not faults"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=92

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

docs: export NO_MKDOCS_2_WARNING = 1
docs: .venv/dev.stamp
	$(BIN)/mkdocs build --quiet --strict

bench: .venv/dev.stamp
	$(BIN)/python -m benchmarks.history --run

dependencies: .venv/dev.stamp
	@if $(BIN)/python -c 'import urllib.request as u; u.urlopen("https://pypi.org/pypi/pip/json", timeout=10)' 2> /dev/null; \
		then $(BIN)/pip-audit --skip-editable; else echo "skipped: there is no network"; fi

clean:
	rm -rf .venv demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*

.venv/demo.stamp: pyproject.toml | .venv/made.stamp
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	@touch $@

.venv/dev.stamp: pyproject.toml | .venv/made.stamp
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ .venv/demo.stamp

# Where Python comes without ensurepip (Debian splits it off), its own pip fills the new one.
.venv/made.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "nstk needs Python 3.11 or newer; say which: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -m venv .venv \
		|| { $(PYTHON) -m venv --without-pip .venv \
			&& $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; } \
		|| { echo "nstk needs Python's venv: install python3-venv (or ensurepip), then try again"; exit 2; }
	@touch $@
