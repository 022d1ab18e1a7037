# Everything a checkout needs; each target makes what it lacks in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ALL := .venv-all
MOTO := .venv-moto
UV := UV_SYSTEM_CERTS=1 $(BIN)/uv
COUNTING := --dataset counting --model-name demo --enhance-coe 2 --grayscale 128
COUNTED_IN := experiments/APICLIP_counting_demo_3/2_3_LANCZOS_128
COUNTED := $(COUNTED_IN) $(COUNTED_IN)_shuffled-0

.DEFAULT_GOAL := help
.PHONY: help demo quick test test-all lint format bench study audit versions wheel clean

help: ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

demo: $(VENV)/.run ## Install what running needs, mask the demo set, and compare answers.
	$(BIN)/apiprompt clip
	$(BIN)/apiprompt llava
	$(BIN)/apiprompt clip $(COUNTING) --quiet
	$(BIN)/apiprompt clip $(COUNTING) --quiet --shuffle-masks 0
	OMP_NUM_THREADS=1 $(BIN)/apiprompt ask $(COUNTED) --plain --backend hf --model demo --batch-size 16
	$(BIN)/apiprompt compare experiments/PLAIN_counting-* $(COUNTED)
	@echo "A small model counts things in 300 crowded scenes. Another scene's mask (shuffled) takes a third of"
	@echo "its right answers away, its own mask a ninth: where the mask lies matters, and here the model sees"
	@echo "what it needs without. docs/study.md says where masks help; this is no evidence for the method."
	@echo "The pictures are in experiments/API*/."

test: $(VENV)/.test ## Install what testing needs, then run the tests.
	$(BIN)/python -m pytest $(ARGS)

test-all: test $(ALL)/.done $(MOTO)/.done ## Run every test, also those of browser, cluster and object store.
	REQUIRE_BROWSER=1 OTHER_PYTHON=$(abspath $(BIN))/python MOTO_SERVER=$(abspath $(MOTO))/bin/moto_server \
		$(ALL)/bin/python -m pytest -m "browser or cluster" --numprocesses=0 $(ARGS)

quick: $(VENV)/.test ## Run the tests that need no process and no model, in half a minute.
	$(BIN)/python -m pytest -m "not process and not model" --numprocesses=2 $(ARGS)

lint: $(VENV)/.dev ## Check lint, format, types and the order of imports.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Format the code and mend what lint can mend.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.test ## Measure speed and memory; prints tables and writes JSON.
	$(BIN)/python -m experiments.bench $(ARGS)

study: $(VENV)/.study ## Find out when masks help, or on any set: ARGS="--dataset NAME --model ...".
	OMP_NUM_THREADS=1 $(BIN)/python -m experiments.study $(ARGS)

audit: $(VENV)/.dev ## Look up known security faults of the installed packages.
	$(BIN)/python -m experiments.maintenance.audit

versions: $(VENV)/.dev ## Run the suite with the lowest allowed and the newest dependencies (12 GB).
	$(BIN)/python -m experiments.maintenance.versions $(ARGS)

wheel: $(VENV)/.dev ## Build the distribution into dist/.
	$(BIN)/python -m build

clean: ## Remove the virtual environment and what tools leave behind.
	rm -rf $(VENV) $(ALL) $(MOTO) $(VENV)-lowest $(VENV)-newest build dist .pytest_cache .mypy_cache .ruff_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.run: pyproject.toml | $(BIN)/python
	@echo "Installing (PyTorch's own wheels: about 6 GB and three minutes)"
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.study: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[study]'
	@touch $@ $(VENV)/.run

$(VENV)/.test: pyproject.toml | $(BIN)/python
	@echo "Installing (PyTorch's own wheels: about 6 GB and three minutes)"
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/.run

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.test $(VENV)/.run

# gradio holds Pillow back, and moto wants another botocore than s3fs: environments of their own
$(ALL)/.done: pyproject.toml | $(VENV)/.dev
	$(UV) venv --quiet --clear --python $(BIN)/python $(ALL)
	$(UV) pip install --quiet --python $(ALL)/bin/python --editable '.[test,browser,web,ray,s3]'
	@touch $@

$(MOTO)/.done: | $(VENV)/.dev
	$(UV) venv --quiet --clear --python $(BIN)/python $(MOTO)
	$(UV) pip install --quiet --python $(MOTO)/bin/python 'moto[server]>=5'
	@touch $@
