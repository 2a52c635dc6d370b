# Every target makes the environment in .venv first, if it is not there or requirements.txt has changed.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: repro test lint clean

repro: .venv/ready            ## run the pipeline on the data that params.yaml names
	dvc repro

test: .venv/ready             ## run the tests
	pytest -n 2

lint: .venv/ready             ## check style, imports, complexity
	ruff check .
	ruff format --check .

# The .pth file puts the environment's own programs first on PATH for whatever runs in it, so that
# `.venv/bin/dvc repro` finds the right `python` in an environment that is not activated.
.venv/ready: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "make: Python 3.11 or newer is needed; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --quiet --requirement requirements.txt
	.venv/bin/python -c 'import sysconfig; open(sysconfig.get_path("purelib") + "/own_programs_first.pth", "w").write(\
	"import os, sys; os.environ[\"PATH\"] = os.path.join(sys.prefix, \"bin\") + os.pathsep + os.environ.get(\"PATH\", \"\")\n")'
	touch $@

clean:                        ## remove the environment and the caches of tools, never data
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis
