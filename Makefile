# Two commands from nothing: `make run` and `make test`. Both build the environment first.
# Real data: make run DATA=goemotions CONFIG=cnn [MIRROR=folder with the six files]
PYTHON ?= python3
DATA ?= sample
CONFIG ?= cnn
SEED ?= 0
MIRROR ?=
VENV := .venv
BIN := $(VENV)/bin
# Two processes, a file of tests at a time, and a core for each.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile
PIPELINE := training/$(DATA)/$(CONFIG)/pipeline

.PHONY: run test fast lint
.DELETE_ON_ERROR:

run: $(VENV)/ready
ifeq ($(DATA),goemotions)
	$(BIN)/python -m scripts.assets $(if $(MIRROR),--mirror "$(MIRROR)")
endif
ifeq ($(CONFIG),bert)
	$(BIN)/python -m scripts.models minilm
endif
	$(BIN)/python -m spacy project run all . --vars.data=$(DATA) --vars.config=$(CONFIG) --vars.seed=$(SEED)
	$(BIN)/python -m scripts.summary $(PIPELINE) metrics/$(DATA)/$(CONFIG).json \
		--report training/$(DATA)/$(CONFIG)/report/index.html

test: $(VENV)/ready lint
	$(PYTEST)

fast: $(VENV)/ready
	$(PYTEST) -m "not slow"

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The environment counts as ready only when the last step of its installation is done.
$(VENV)/ready: requirements.txt pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed: make PYTHON=python3.12 ...')"
	@echo "Building $(VENV): some 2 GB, a few minutes, only the first time"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@
