# Everything that is done here, each from a fresh clone with only Python >= 3.11, make and the package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV_READY := $(VENV)/.ready-dev
# A lock is complete, so pip resolves nothing: what has been published since cannot change what is installed.
# Python compiles what it imports when it first does, which is less than all that is installed.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --no-compile
COMPILE := $(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-strip-extras --no-emit-package pip --no-emit-index-url --no-annotate --no-header
NODE_TESTS := tests/acceptance/typescript

.PHONY: run demo test cover check soak bench format lock node pictures dist clean

run: $(READY)  ## start the HTTP server and say how to add it to a client (PORT=0: a free port)
	@exec $(BIN)/mcp-hitl serve $(if $(PORT),--port $(PORT))

demo: $(READY)  ## an agent asks, you decide here (DEMO_AUTO=1: it answers by itself)
	@$(BIN)/python examples/demo.py

test: check  ## every check and every test
	$(BIN)/pytest --numprocesses auto --dist worksteal

cover: $(DEV_READY)  ## every test, with branch coverage: 95 % or more
	$(BIN)/coverage erase
	$(BIN)/pytest --numprocesses auto --dist worksteal --cov --cov-report=
	$(BIN)/coverage report

check: $(DEV_READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

soak: $(DEV_READY)  ## the full counts of races and crashes, on both databases, and every character there is
	SOAK=1 $(BIN)/pytest tests/acceptance tests/desk tests/engine tests/domain/test_text_by_letter.py tests/web/test_accessible.py

bench: $(DEV_READY)  ## the figures
	$(BIN)/python -m benchmarks

format: $(DEV_READY)  ## repair what can be repaired
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pictures: $(DEV_READY)  ## take the pictures of README.md and docs/how-to/use-the-inbox.md anew; needs Chromium
	PYTHONPATH=tests $(BIN)/python tests/web/story.py
	PYTHONPATH=tests $(BIN)/python tests/web/screenshots.py

node: $(NODE_TESTS)/node_modules  ## what the tests with the TypeScript SDK and the Inspector need

$(NODE_TESTS)/node_modules: $(NODE_TESTS)/package-lock.json
	npm ci --prefix $(NODE_TESTS) --no-audit --no-fund
	@touch $@

lock:  ## pin the newest versions that fit: locks/run.txt for running, postgres.txt with that extra, dev.txt for tests too
	$(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install --quiet uv
	$(COMPILE) --upgrade --group build pyproject.toml --output-file locks/run.txt
	$(COMPILE) --upgrade --group build --group dev --extra postgres pyproject.toml --constraint locks/run.txt --output-file locks/dev.txt
	$(COMPILE) --upgrade --group build --extra postgres pyproject.toml --constraint locks/dev.txt --output-file locks/postgres.txt
	rm -r $(VENV)-lock

$(READY): locks/run.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	$(INSTALL) --requirement locks/run.txt
	$(INSTALL) --no-build-isolation --editable .
	@touch $@

$(DEV_READY): locks/dev.txt $(READY)
	$(INSTALL) --requirement locks/dev.txt
	@touch $@

dist: $(DEV_READY)  ## the wheel and the source archive; fails unless building them again gives the same bytes
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist/again .
	$(BIN)/python -m build --no-isolation --outdir dist .
	cd dist && for file in *.whl *.tar.gz; do cmp $$file again/$$file || exit 1; done
	rm -r dist/again
	$(BIN)/twine check --strict dist/*

clean:
	rm -rf dist $(VENV) $(NODE_TESTS)/node_modules .coverage* .pytest_cache .ruff_cache .import_linter_cache
