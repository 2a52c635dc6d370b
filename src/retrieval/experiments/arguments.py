"""The arguments that `search` and `compare` share: which model, on which folds, how many runs at a time."""

import os
from argparse import ArgumentParser, Namespace

from retrieval.errors import Problem, choices
from retrieval.evaluation.options import PEERS
from retrieval.experiments.repository import PARAMS, Snapshot
from retrieval.experiments.rows import TEST
from retrieval.params import parse


def models(snapshot: Snapshot) -> list[str]:
    """The names of the models of the table, and of those that can be added to it."""
    return [*parse(snapshot.read(PARAMS))["models"], *PEERS]


def add_options(parser: ArgumentParser) -> None:
    """The options that `search` and `compare` share."""
    parser.add_argument("--model", default="dssm", help="the model that is judged (default: dssm)")
    parser.add_argument(
        "--folds", type=_folds, default=[1, 2, 3], metavar="1,2,3", help="values of split.fold (default: 1,2,3)"
    )
    parser.add_argument("--test", action="store_true", help="allow fold 0, the test: for a last look, not for a choice")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 1) // 2), help="runs at a time")


def _folds(text: str) -> list[int]:
    return sorted({int(each) for each in text.split(",")})


def check_options(options: Namespace, snapshot: Snapshot) -> None:
    """Raise `Problem` for an unknown model, for the test among the folds unless it was asked for, and for no jobs."""
    if options.model not in models(snapshot):
        raise Problem(f"--model: unknown model {options.model!r}; {choices(options.model, models(snapshot))}")
    if TEST in options.folds and not options.test:
        raise Problem("--folds: 0 is the test, and a choice must not see it; expected 1 and above, or --test")
    if options.jobs < 1:
        raise Problem(f"--jobs: {options.jobs} is not valid: expected 1 or more")
