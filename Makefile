# Everything that is done here, each from a fresh clone with only Python >= 3.11, make and the package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
NODE_TESTS := tests/acceptance/typescript

.PHONY: run demo test check soak bench format lock node pictures clean

run: $(READY)  ## start the HTTP server and say how to add it to a client
	@exec $(BIN)/mcp-hitl serve

demo: $(READY)  ## an agent asks, you decide here (DEMO_AUTO=1: it answers by itself)
	@$(BIN)/python examples/demo.py

test: check  ## every check and every test
	$(BIN)/coverage erase
	$(BIN)/pytest --numprocesses auto --dist worksteal --cov --cov-report=
	$(BIN)/coverage report

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

soak: $(READY)  ## the full counts of races and crashes
	SOAK=1 $(BIN)/pytest tests/acceptance

bench: $(READY)  ## the figures
	$(BIN)/python -m benchmarks

format: $(READY)  ## repair what can be repaired
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pictures: $(READY)  ## take the pictures of docs/inbox.md anew; needs Chromium
	PYTHONPATH=tests $(BIN)/python tests/web/screenshots.py

node: $(NODE_TESTS)/node_modules  ## what the tests with the TypeScript SDK and the Inspector need

$(NODE_TESTS)/node_modules: $(NODE_TESTS)/package-lock.json
	npm ci --prefix $(NODE_TESTS) --no-audit --no-fund
	@touch $@

lock:  ## pin the newest versions that fit
	$(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install --quiet uv
	$(VENV)-lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --group dev pyproject.toml --output-file requirements.lock
	rm -r $(VENV)-lock

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf $(VENV) $(NODE_TESTS)/node_modules .coverage* .pytest_cache .ruff_cache .import_linter_cache
