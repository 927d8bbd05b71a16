# Every target sets up what it needs: a virtual environment in .venv from the tested lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test slow corpus browser test-team ready-models benchmark bench check sbom lock clean

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "Python 3.11 or newer is needed, found %d.%d; name one with make PYTHON=..." % v[:2])'
	$(PYTHON) -m venv $(VENV)
	@# uv installs the lock in seconds; where it cannot be had, or the registry is one of pip alone, pip does
	-@$(PIP) install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock || $(PIP) install --quiet -r requirements.lock
	$(PIP) install --quiet --no-deps -e .
	@touch $(READY)

demo: $(READY)  ## the main job on a simulated cohort
	$(BIN)/stratify demo --out demo

test: $(READY)  ## the tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

slow: $(READY)  ## the tests that take minutes (ten seeds on the public cohorts)
	$(BIN)/python -m pytest -m slow

corpus: $(READY)  ## every broken export of tests/corpus, with the share that is found by kind
	$(BIN)/python -m pytest -m slow -n 0 -s tests/corpus

browser: $(READY)  ## what users see in a browser; pictures in build/browser (needs Chromium)
	$(PIP) install --quiet --no-deps -r tests/requirements.lock
	$(BIN)/python -m pytest -m browser -n 0 tests/browser

test-team: $(READY)  ## a team's server: PostgreSQL and MLflow on loopback (needs PostgreSQL's programs)
	$(PIP) install --quiet --no-deps -r tests/requirements.lock
	$(BIN)/python -m pytest -m team -n 0 tests/team

ready-models: $(READY)  ## build the models that ship in the wheel again (needs STRATIFY_DATA; ten minutes)
	$(BIN)/python pipelines/ready_models.py --out stratify/ready

benchmark: $(READY)  ## each public cohort left out in turn (minutes)
	$(BIN)/python pipelines/benchmark.py --out benchmark

bench: $(READY)  ## every row of BENCHMARKS.md, against other packages (extra bench; 20 minutes)
	$(PIP) install --quiet -e ".[bench,scale]"
	$(BIN)/python tests/bench/run.py
	$(BIN)/python tests/bench/run.py --write BENCHMARKS.md --check

check: $(READY)  ## lint, format, types, import direction, doctests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q stratify

sbom: $(READY)  ## versions and licences of all that is installed, as CycloneDX: build/sbom.json
	@mkdir -p build
	$(PYTHON) -m venv build/cyclonedx
	build/cyclonedx/bin/python -m pip --disable-pip-version-check install --quiet "cyclonedx-bom>=7.5,<8"
	build/cyclonedx/bin/cyclonedx-py environment --output-reproducible --of JSON -o build/sbom.json $(VENV)

lock: $(READY)  ## solve the dependencies again
	$(PIP) install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade pyproject.toml --extra dev --no-annotate --no-header -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 pyproject.toml --extra team --extra browser -c requirements.lock --no-annotate --no-header | grep -vxFf requirements.lock > tests/requirements.lock

clean:
	rm -rf $(VENV) demo benchmark bench .mypy_cache .ruff_cache .pytest_cache .hypothesis
