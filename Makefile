# make demo      environment, then energies, optimised geometries and a table on the molecules in examples/molecules; the shipped
#                hybrid, its parent and the pure potential compared, figures in demo/
# make test      format, lint, types, imports, and every test that is not slow
# make test-all  the same with the slow tests
# make coverage  the tests that are not slow, and which lines they run, in htmlcov
# make docs      the documentation site in docs/_build/html, warnings are errors, links are checked
# make gallery   the pictures of the site drawn anew
# make test-lowest  tests that are not slow with the lowest versions that pyproject.toml allows (Python 3.11)
# make studies   the classic studies in full, one report in runs/studies/report.html; goes on where it was left
# make bench     the benchmarks of the engine, JSON on standard output
# make clean     remove the environment and everything that is built

VENV ?= .venv
LOWEST ?= .venv-lowest
PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3.13 python3))
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install -c constraints.txt
OUT ?= runs/demo
VIEWER ?= runs/viewer/node_modules/3dmol/build/3Dmol-min.js
CLOSED := aspirin azulene benzene caffeine ethanol glycine_zwitterion hexatriene ibuprofen nicotine water
OPEN := acetate benzyl_radical methylammonium oxygen_triplet tempo_radical
# A process a core, each with one thread: most tests are too small for threads to share; who needs several sets them.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal
RECIPE := pyproject.toml constraints.txt setup.py $(wildcard nddo_ml/core/csrc/* bp_descriptors/csrc/*)

.PHONY: demo test test-all test-lowest coverage lint docs gallery bench studies clean

demo: $(VENV)/.installed
	$(BIN)/nddo-ml energy examples/molecules/*.xyz --method AM1
	mkdir -p $(OUT)
	$(BIN)/nddo-ml optimize examples/molecules/*.xyz --method AM1 --output $(OUT)/optimized.xyz --json $(OUT)/optimized.json
	@echo "optimised geometries: $(OUT)/optimized.xyz, results: $(OUT)/optimized.json"
	@echo; echo "The hybrid, its parent and the pure potential"
	$(BIN)/nddo-ml compare $(CLOSED:%=examples/molecules/%.xyz)
	@echo; echo "Ions and radicals, of which the pure potential knows nothing"
	$(BIN)/nddo-ml compare $(OPEN:%=examples/molecules/%.xyz) -m hybrid-chno -m RM1-D3H4
	@echo; echo "Against density functional theory, 25 geometries"
	$(BIN)/nddo-ml compare examples/molecules/displaced.extxyz --summary --figures demo
	@echo; echo "A bond and a water dimer come apart"
	$(BIN)/nddo-ml scan examples/molecules/ethanol.xyz --bond 0 1 --from 1.2 --to 8 --steps 18 --uhf \
		--relative-to fragments --figure demo/ethanol_bond.png
	$(BIN)/nddo-ml scan examples/water_dimer.xyz --bond 0 3 --from 2.5 --to 12 --steps 20 \
		--relative-to fragments --figure demo/water_dimer.png
	@echo "figures: demo/parity.png, demo/ethanol_bond.png, demo/water_dimer.png"

test: lint
	$(PYTEST) -m "not slow"

test-all: lint
	$(PYTEST)

# Newer packages than these warn of things that older ones of the same environment still do: warnings are no errors here.
test-lowest: BIN := $(LOWEST)/bin
test-lowest: $(LOWEST)/.installed
	$(PYTEST) -m "not slow" -o filterwarnings=default

# In htmlcov/index.html by line. Kernels that numba compiles are not seen by Python's tracing and are left out.
coverage: $(VENV)/.installed-dev
	$(PYTEST) -m "not slow" --cov --cov-report=html --cov-report=term

docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -j auto -b html docs docs/_build/html
	$(BIN)/python docs/check_links.py docs/_build/html

gallery: $(VENV)/.installed
	$(BIN)/python docs/gallery.py
	$(BIN)/nddo-ml compare examples/molecules/displaced.extxyz --summary --figures docs/images
	$(BIN)/nddo-ml dimer N N --figure docs/images/dimers.png

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-bench
	for name in latency throughput scaling robustness; do $(BIN)/python -m benchmarks.$$name || exit 1; done

# Molecules on the page can be turned where npm brings the viewer.
studies: $(VENV)/.installed-bench
	-test -e $(VIEWER) || npm install --silent --no-save --prefix runs/viewer 3dmol@2.5.5
	$(BIN)/python -m benchmarks.studies --out runs/studies --viewer $(VIEWER)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache runs demo docs/_build htmlcov .coverage $(LOWEST)

$(VENV)/bin/python:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'nddo-ml needs Python 3.11 or later')"
	$(PYTHON) -m venv $(VENV)

# The markers are older than the recipe when it changes, and the environment is brought up to date.
$(VENV)/.installed: $(RECIPE) | $(VENV)/bin/python
	$(PIP) -e .
	touch $@

$(VENV)/.installed-dev: $(RECIPE) | $(VENV)/bin/python
	$(PIP) -e ".[dev,label,solids,dislocations]"
	touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: $(RECIPE) | $(VENV)/bin/python
	$(PIP) -e ".[bench,dev,label,solids,dislocations]"
	touch $@ $(VENV)/.installed $(VENV)/.installed-dev

$(VENV)/.installed-docs: $(RECIPE) | $(VENV)/bin/python
	$(PIP) -e ".[dev,docs,label,solids,dislocations]"
	touch $@ $(VENV)/.installed $(VENV)/.installed-dev

$(LOWEST)/.installed: pyproject.toml constraints-lowest.txt
	python3.11 -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip --quiet --disable-pip-version-check install -c constraints-lowest.txt -e ".[dev,label,solids]"
	touch $@
