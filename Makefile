# make demo: the whole way on synthetic scans; make test: the tests. Both set up .venv first.
PYTHON ?= python3
VENV := .venv
# A test process a core: more threads than that in each only wait for one another.
TEST := OMP_NUM_THREADS=1 python -m pytest -n 2
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

PATIENTS ?= 1000
INSTALLED := $(VENV)/.installed

.PHONY: help setup test test-all check bench demo clean

help:
	@echo "make demo    the whole way on synthetic scans, to a scored table"
	@echo "make test    the tests that need neither network nor patience"
	@echo "make check   lint, types, import contracts, spelling"
	@echo "make bench   every benchmark, tables into benchmarks/"

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or later is needed\n  where: $(PYTHON)\n  mend:  make demo PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

test: setup
	$(TEST)

test-all: setup
	$(TEST) -m "not gpu and not network"

check: setup
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	codespell
	python .ci/large_files.py

# Everything below is what a user types; make prints each line before it runs.
demo: setup
	ctprep phantom demo-out/source --patients $(PATIENTS) --seed 0
	ctprep ingest demo-out/source/scans demo-out/hifi.zarr --grid phantom --scans demo-out/source/scans.csv
	ctprep compress demo-out/hifi.zarr demo-out/jpeg.zarr --quality 90
	ctprep filter-reports demo-out/source/reports.csv demo-out/reports.parquet
	ctprep label-reports demo-out/source/reports.csv demo-out/labels-by-rules.csv --dataset phantom
	ctprep audit demo-out/reports.parquet demo-out/audit.html
	ctlite train demo-teacher --out demo-out/teacher
	ctlite train demo-finetune --out demo-out/finetune
	ctlite train demo-fast --out demo-out/fast
	ctlite train demo-sfp --out demo-out/ct-lite
	ctlite eval demo-out/teacher --store demo-out/hifi.zarr --scans demo-out/source/scans.csv --labels demo-out/source/labels.csv --batch-size 8
	ctlite eval demo-out/finetune --store demo-out/jpeg.zarr --scans demo-out/source/scans.csv --labels demo-out/source/labels.csv --batch-size 8
	ctlite eval demo-out/ct-lite --store demo-out/jpeg.zarr --scans demo-out/source/scans.csv --labels demo-out/source/labels.csv --batch-size 8
	ctlite compare demo-out/teacher demo-out/finetune demo-out/ct-lite

bench: setup
	python benchmarks/decode.py
	python benchmarks/load.py
	python benchmarks/feed.py --geometry medium --steps 3
	python benchmarks/read.py
	python benchmarks/ingest.py
	python benchmarks/stages.py
	python benchmarks/compress.py
	python benchmarks/scale.py
	python benchmarks/step.py
	python benchmarks/head.py
	python benchmarks/factorize.py

clean:
	rm -rf $(VENV) demo-out
