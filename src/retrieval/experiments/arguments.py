"""The numbers among the arguments of all commands, and what `search` and `compare` share: model, folds, jobs."""

import os
from argparse import ArgumentParser, Namespace
from functools import partial
from typing import TypeVar

from retrieval.errors import Problem, choices
from retrieval.evaluation.options import PEERS
from retrieval.experiments.repository import PARAMS, Snapshot
from retrieval.experiments.rows import TEST
from retrieval.params import parse

N = TypeVar("N", int, float)


def number(kind: type[N], flag: str, least: N, text: str) -> N:
    """The value of an option, which is a number. Raises `Problem` for anything else, and below `least`."""
    try:
        value = kind(text)
    except ValueError:
        value = kind(-1)
    if not value >= least:
        expected = "a whole number" if kind is int else "a number"
        raise Problem(f"{flag}: {text} is not valid: expected {expected}, {least:g} or more")
    return value


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
    jobs = max(1, (os.cpu_count() or 1) // 2)
    parser.add_argument("--jobs", type=partial(number, int, "--jobs", 1), default=jobs, help="runs at a time")


def _folds(text: str) -> list[int]:
    return sorted({number(int, "--folds", TEST, each) for each in text.split(",")})


def check_options(options: Namespace, snapshot: Snapshot) -> None:
    """Raise `Problem` for an unknown model, and for the test among the folds unless it was asked for."""
    if options.model not in models(snapshot):
        raise Problem(f"--model: unknown model {options.model!r}; {choices(options.model, models(snapshot))}")
    if TEST in options.folds and not options.test:
        raise Problem("--folds: 0 is the test, and a choice must not see it; expected 1 and above, or --test")
