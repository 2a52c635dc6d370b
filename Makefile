# Every target makes the environment in .venv first, if it is not there or requirements.txt has changed.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: repro test test-slow test-kill serve bench lint leaderboard report verify seeds clean
BASE ?= main

repro: .venv/ready            ## run the pipeline on the data that params.yaml names
	PYTHONPATH=src python -m retrieval.experiments.lock
	dvc repro

test: .venv/ready             ## run the tests
	pytest -n 2

serve: .venv/ready            ## start the service on http://127.0.0.1:8000; FLAGS="--port 9000" and the like
	PYTHONPATH=src python -m retrieval.serving $(FLAGS)

bench: .venv/ready            ## measure training, ranking, scale and the service, into benchmarks/results.json: about 40 minutes
	.venv/bin/python -m pip install --quiet --requirement benchmarks/requirements.txt
	for one in training libraries service scale; do PYTHONPATH=src python benchmarks/$$one.py || exit 1; done

test-slow: .venv/ready        ## run the tests that take minutes: queued experiments, re-runs from nothing
	pytest -m slow

test-kill: .venv/ready        ## kill the pipeline 200 times and see that it still ends in the same bytes
	python tests/kill.py

lint: .venv/ready             ## check style, imports, complexity, types
	ruff check .
	ruff format --check .
	mypy

leaderboard: .venv/ready      ## experiments and models, best first: make leaderboard ARGS="--sort ndcg@10"
	PYTHONPATH=src python -m retrieval.experiments.leaderboard $(ARGS)

report: .venv/ready           ## what changed since BASE, as report/report.html and report.md: make report BASE=main
	PYTHONPATH=src python -m retrieval.experiments.pull_request $(BASE) $(HEAD) $(if $(RAW),--raw $(RAW))

verify: .venv/ready           ## run a commit again from nothing and compare: make verify ARGS=HEAD~1
	PYTHONPATH=src python -m retrieval.experiments.verify $(ARGS)

seeds: .venv/ready            ## train with several seeds: make seeds ARGS="-S loss=bpr --against main"
	PYTHONPATH=src python -m retrieval.experiments.seeds $(ARGS)

# The .pth file puts the environment's own programs first on PATH for whatever runs in it, so that
# `.venv/bin/dvc repro` finds the right `python` in an environment that is not activated.
.venv/ready: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "make: Python 3.11 or newer is needed; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --quiet --requirement requirements.txt
	.venv/bin/python -c 'import sysconfig; open(sysconfig.get_path("purelib") + "/own_programs_first.pth", "w").write(\
	"import os, sys; os.environ[\"PATH\"] = os.path.join(sys.prefix, \"bin\") + os.pathsep + os.environ.get(\"PATH\", \"\")\n")'
	touch $@

clean:                        ## remove the environment, checkpoints, the report and caches of tools, never data
	rm -rf .venv .checkpoints .pytest_cache .ruff_cache .mypy_cache .hypothesis report
