# Every target installs what it needs into .venv first, and installs again when a requirements file has changed.
PYTHON ?= python3
BASE ?= main
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: repro test test-quick test-slow test-kill lint audit serve bench recommend leaderboard report verify seeds search compare sasrec clean help
.NOTPARALLEL:  # two targets must not install into .venv at the same time

repro: .venv/ready            ## run the pipeline on the data that params.yaml names
	@PYTHONPATH=src python -m retrieval.experiments.lock
	@PYTHONPATH=src python -m retrieval.experiments.pipeline

test: .venv/ready-test        ## run the tests; some of them: make test ARGS=tests/dssm
	pytest -n 2 $(ARGS)

test-quick: .venv/ready-test  ## run the tests that neither train many models nor start processes: under a minute
	pytest -n 2 -m "not slow and not heavy" $(ARGS)

test-slow: .venv/ready-test   ## run the tests that take minutes: queued experiments, runs from scratch
	pytest -m slow $(ARGS)

test-kill: .venv/ready        ## kill the pipeline 200 times and check that it still ends in the same bytes
	python tests/kill.py

lint: .venv/ready-lint        ## check style, imports, complexity and types
	ruff check .
	ruff format --check .
	mypy

audit:                        ## look up known vulnerabilities of all pinned packages, with pip-audit
	@$(PYTHON) -m venv .venv/audit && .venv/audit/bin/python -m pip install --quiet --disable-pip-version-check $(AUDIT)
	@for file in requirements/*.txt; do echo "$$file"; .venv/audit/bin/pip-audit --no-deps --disable-pip $(ARGS) \
	    --requirement $$file || failed=1; done; exit $${failed:-0}
AUDIT = pip-audit==2.10.1  # in an environment of its own, where it changes no pin

serve: .venv/ready-serve      ## start the service on http://127.0.0.1:8000; options: make serve FLAGS="--port 9000"
	PYTHONPATH=src python -m retrieval.serving $(FLAGS)

recommend: .venv/ready        ## write recommendations to a file: make recommend ARGS="--model dssm --k 10 --out lists.parquet"
	@PYTHONPATH=src python -m retrieval.recommend $(ARGS)

bench: .venv/ready-bench      ## run the benchmarks, into benchmarks/results.json: about 45 minutes
	for one in training libraries service recommend preparation scale; do PYTHONPATH=src python benchmarks/$$one.py || exit 1; done

leaderboard: .venv/ready      ## list experiments and models, best first: make leaderboard ARGS="--sort ndcg@10"
	PYTHONPATH=src python -m retrieval.experiments.leaderboard $(ARGS)

report: .venv/ready           ## write report/report.html and report.md, what changed since BASE: make report BASE=main
	PYTHONPATH=src python -m retrieval.experiments.pull_request $(BASE) $(HEAD) $(if $(RAW),--raw $(RAW))

verify: .venv/ready           ## run a commit again from scratch and compare the results: make verify ARGS=HEAD~1
	PYTHONPATH=src python -m retrieval.experiments.verify $(ARGS)

search: .venv/ready-search    ## search parameters on the validation: make search ARGS="--trials 50 loss=softmax,bpr"
	@PYTHONPATH=src python -m retrieval.experiments.search $(ARGS)

compare: .venv/ready          ## is A better than B, over folds and seeds? make compare ARGS="loss=softmax loss=bpr"
	@PYTHONPATH=src python -m retrieval.experiments.compare $(ARGS)

sasrec: .venv/ready-sasrec    ## add RecTools' SASRec to the table: make sasrec ARGS="-S sasrec.layers=ligr"
	dvc exp run -S 'peers=[sasrec]' $(ARGS)

seeds: .venv/ready            ## train with five seeds, into metrics/seeds.json, a row of README's table
	PYTHONPATH=src python -m retrieval.experiments.seeds $(ARGS)

clean:                        ## remove the environment, checkpoints, copies, the report and tool caches; data and models stay
	rm -rf .venv .checkpoints .dvc/tmp/copies .pytest_cache .ruff_cache .mypy_cache .hypothesis report

help:                         ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

PIP = .venv/bin/python -m pip install --quiet --disable-pip-version-check
# The first line of a requirements file says what it is for, how long installing it takes and how large it is.
ANNOUNCE = @echo "Installing $<. $$(sed -n '1s/^\# //p' $<)"

# The environment of the pipeline. PyPI's torch for Linux contains CUDA. Without an NVIDIA GPU torch alone is first looked
# for in PyTorch's index of CPU builds; if that cannot be reached, or PIP_* names other indexes, pip's indexes decide.
# LightFM compiles with -ffast-math -march=native unless told otherwise, so that two machines would get two models. It is
# compiled here without both, and not taken from pip's cache, where an older build may be.
# The .pth file puts .venv/bin first on PATH for every Python that runs in it, so that `.venv/bin/dvc repro` finds the
# right `python` even if the environment is not activated. It also moves DVC's state, which is pickled, from /var/tmp/dvc,
# where other users of the machine can write, to .venv/dvc, which is open to its user only.
.venv/ready: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is required: make PYTHON=python3.12")'
	$(ANNOUNCE)
	@$(PYTHON) -m venv --clear .venv
	@if [ "$$(uname)" = Linux ] && [ -z "$$PIP_INDEX_URL$$PIP_EXTRA_INDEX_URL$$PIP_NO_INDEX" ]; then \
	    if [ -e /dev/nvidia0 ] || command -v nvidia-smi >/dev/null; then echo "torch comes with CUDA: $(CUDA)"; \
	    else $(PIP) --quiet --no-deps --retries 0 --timeout 5 --index-url $(CPU_BUILDS) $$(grep '^torch==' $<) 2>/dev/null || \
	        echo "$(CPU_BUILDS) cannot be reached: torch comes from pip's own index, maybe with CUDA: $(CUDA)"; fi; fi
	@LIGHTFM_NO_CFLAGS=1 CFLAGS="-O3 -ffp-contract=off" $(PIP) --no-cache-dir --no-deps $$(grep '^rectools-lightfm==' $<)
	@$(PIP) --requirement $<
	@.venv/bin/python -c 'import sysconfig; open(sysconfig.get_path("purelib") + "/own_programs_first.pth", "w").write(\
	"import os, sys; os.environ[\"PATH\"] = os.path.join(sys.prefix, \"bin\") + os.pathsep + os.environ.get(\"PATH\", \"\"); \
	os.environ.setdefault(\"DVC_SITE_CACHE_DIR\", os.path.join(sys.prefix, \"dvc\"))\n")'
	@mkdir -p -m 700 .venv/dvc
	@touch $@
CPU_BUILDS = https://download.pytorch.org/whl/cpu
CUDA = 4 GB more, some minutes

# What serve, test, lint, bench, search and sasrec need on top, and what the tests on Spark need, for which no target
# asks. test includes requirements/search.txt, bench requirements/sasrec.txt; these two and lint requirements/serve.txt.
EXTRAS = serve test lint bench search sasrec spark
INCLUDED = $(patsubst %,requirements/%.txt,serve search sasrec)
$(EXTRAS:%=.venv/ready-%): .venv/ready-%: requirements/%.txt $(INCLUDED) .venv/ready
	$(ANNOUNCE)
	@$(PIP) --requirement $<
	@touch $@
