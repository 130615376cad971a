# Every target works as the first command on a machine with Python 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO := 0

.PHONY: install browser demo test test-on-ray test-of-the-rest lint check bench weights lock clean

install: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "raypipe needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

browser: ## Debian's Chromium, in which the web page is tested; those tests are skipped where it cannot be had
	@command -v chromium > /dev/null || \
	{ test "$$(id -u)" = 0 && apt-get update --quiet --quiet && \
	apt-get install --yes --quiet --quiet --no-install-recommends chromium > /dev/null; } || \
	echo "no chromium, and it cannot be installed here: tests of the web page are skipped"

demo: install
	$(BIN)/raypipe demo --out demo-out

test: install lint browser ## both halves at once: tests of clusters mostly wait
	$(MAKE) --no-print-directory --jobs=2 test-on-ray test-of-the-rest

test-on-ray: install
	$(BIN)/pytest tests/on_ray

test-of-the-rest: install
	$(BIN)/pytest tests --ignore=tests/on_ray

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint browser
	$(BIN)/pytest tests -m "not ray and not slow"

bench: install
	$(BIN)/python -m benchmarks

weights: install ## train the small model anew, or FURTHER=small; BF16=1 where that is quick; goes on where it was ended
	$(BIN)/python -m raypipe.pipeline.small_model --work weights-work --out raypipe/models/small --further "$(FURTHER)" $(if $(BF16),--bf16)

lock: ## rewrite requirements.lock from what .venv holds
	$(BIN)/pip freeze --exclude-editable --exclude raypipe | sed 's/^torch==\(.*\)+cpu$$/torch==\1/' > requirements.lock

clean:
	rm -rf $(VENV) demo-out bench-out
