"""The space of a search: which values parameters may take, and a check of them before anything runs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

from retrieval.errors import Problem
from retrieval.experiments.repository import flat
from retrieval.experiments.stages import check_read
from retrieval.experiments.trials import Trial

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

COMBINATIONS = 1_000  # of values, at most, that are checked before the first trial
RANGE = re.compile(r"(int|float)\(\s*([^,()]+?)\s*,\s*([^,()]+?)\s*(,\s*log\s*)?\)")
FORM = "expected NAME=int(LOW,HIGH), NAME=float(LOW,HIGH), either with ,log after HIGH, or NAME=VALUE,VALUE"
APART = {"split.fold": "--folds", "seed": "make compare"}  # what varies them


@dataclass(frozen=True)
class Dimension:
    """A parameter and its values. `ends` are those that are checked, as text: both ends of a range, or every value."""

    name: str
    values: BaseDistribution
    ends: tuple[str, ...]

    def setting(self, value: Any) -> str:
        """NAME=VALUE; a float has four significant digits, so that what is printed is what has run."""
        if isinstance(self.values, FloatDistribution):
            value = min(max(float(f"{value:.4g}"), self.values.low), self.values.high)
        return f"{self.name}={value}"


def read_dimension(text: str) -> Dimension:
    """NAME=int(LOW,HIGH[,log]), NAME=float(LOW,HIGH[,log]) or NAME=VALUE,VALUE. Raises `Problem` for another form."""
    name, _, values = text.partition("=")
    if not (name and values):
        raise Problem(f"{text}: {FORM}")
    if name in APART:
        raise Problem(f"{text}: cannot be searched; {APART[name]} varies it")
    if match := RANGE.fullmatch(values):
        kind, low, high, log = match.groups()
        try:
            if kind == "int":
                return Dimension(name, IntDistribution(int(low), int(high), log=bool(log)), (low, high))
            return Dimension(name, FloatDistribution(float(low), float(high), log=bool(log)), (low, high))
        except ValueError as error:
            raise Problem(f"{text}: {error}; {FORM}") from None
    choices = re.split(r",(?![^\[]*\])", values)  # a comma in a list divides nothing
    if "" in choices or values.startswith(("int(", "float(")):
        raise Problem(f"{text}: {FORM}")
    return Dimension(name, CategoricalDistribution(choices), tuple(choices))


def check_space(base: Trial, space: Sequence[Dimension]) -> None:
    """Raise `Problem` if a name is unknown, appears twice or has no effect, or a combination of values is invalid."""
    names = [dimension.name for dimension in space]
    for name in names:
        if names.count(name) > 1:
            raise Problem(f"{name}: appears twice")
    for values in islice(product(*(dimension.ends for dimension in space)), COMBINATIONS):
        base.changed([f"{name}={value}" for name, value in zip(names, values, strict=True)]).params  # noqa: B018
    check_read(base.model, names, flat(base.params))
