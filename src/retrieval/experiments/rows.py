"""The rows of the leaderboard, out of what `dvc exp show` says.

Experiments that differ in `split.fold` and `seed` only are one row.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

from retrieval.experiments.repository import METRICS, PARAMS, flat

FOLD, SEED, TEST = "split.fold", "seed", 0


@dataclass(frozen=True)
class Result:
    """A model of an experiment on one fold with one seed; params are those that differ, without fold and seed."""

    experiment: str
    model: str
    fold: int
    seed: int
    metrics: dict[str, float]
    params: dict[str, Any]


@dataclass(frozen=True)
class Row:
    """A model with some parameters: metric -> mean on the folds of the validation, its deviation, and on the test."""

    experiment: str
    model: str
    params: dict[str, Any] = field(default_factory=dict)
    test: dict[str, float] = field(default_factory=dict)
    validation: dict[str, float] = field(default_factory=dict)
    deviation: dict[str, float] = field(default_factory=dict)
    folds: tuple[int, ...] = ()

    @property
    def saw_test(self) -> bool:
        """Whether the parameters were chosen, and on nothing but the test."""
        return bool(self.params) and not self.validation

    def order(self, metric: str) -> tuple[bool, float]:
        """What it is sorted by: the validation, and after all rows that have it the test."""
        values = self.validation or self.test
        return (not self.validation, -values.get(metric, float("-inf")))


def rows(revisions: list[dict[str, Any]]) -> list[Row]:
    """The rows of the output of `dvc exp show --json`."""
    groups: dict[tuple[Any, ...], list[Result]] = {}
    for result in results(revisions):
        key = (result.model, json.dumps(result.params, sort_keys=True))
        groups.setdefault(key, []).append(result)
    return [_row(group) for group in groups.values()]


def results(revisions: list[dict[str, Any]]) -> list[Result]:
    """The results in the output of `dvc exp show --json`; equal results of a model appear once."""
    entries = [(name, flat(_params(data)), _metrics(data)) for name, data in _entries(revisions)]
    base = next((params for name, params, _ in entries if name != "workspace"), {})
    found: dict[tuple[Any, ...], Result] = {}
    changed = [
        (name, params, metrics, {key: value for key, value in params.items() if base.get(key, key) != value})
        for name, params, metrics in entries
    ]
    for name, params, models, differences in sorted(changed, key=lambda each: (each[0] == "workspace", len(each[3]))):
        fold, seed = params.get(FOLD, TEST), params.get(SEED, 0)
        own = {key: value for key, value in differences.items() if key not in (FOLD, SEED)}
        for model, metrics in models.items():
            found.setdefault((model, *sorted(metrics.items())), Result(name, model, fold, seed, metrics, own))
    return list(found.values())


def _row(group: Sequence[Result]) -> Row:
    """The results of a model with the same parameters."""
    names = group[0].metrics
    tests = [result for result in group if result.fold == TEST]
    others = [result for result in group if result.fold != TEST]
    folds = tuple(sorted({result.fold for result in others}))
    return Row(
        group[0].experiment,
        group[0].model,
        group[0].params,
        {name: mean(each.metrics[name] for each in tests) for name in names if tests},
        {name: _mean_over_folds(name, others) for name in names if others},
        {name: spread for name in names if (spread := _deviation(name, others, folds)) is not None},
        folds,
    )


def _mean_over_folds(name: str, group: Iterable[Result]) -> float:
    """The mean over folds of the mean over seeds."""
    by_fold: dict[int, list[float]] = {}
    for result in group:
        by_fold.setdefault(result.fold, []).append(result.metrics[name])
    return mean(mean(values) for values in by_fold.values())


def _deviation(name: str, group: Sequence[Result], folds: Sequence[int]) -> float | None:
    """The sample deviation, over the seeds that have all folds, of the mean over folds; None below two of them."""
    by_seed: dict[int, list[float]] = {}
    for result in group:
        by_seed.setdefault(result.seed, []).append(result.metrics[name])
    means = [mean(values) for values in by_seed.values() if len(values) == len(folds)]
    return stdev(means) if len(means) > 1 else None


def _entries(revisions: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and data of every revision and experiment with metrics."""
    for revision in revisions:
        states = [revision, *(state for each in revision["experiments"] or [] for state in each["revs"] or [])]
        for state in states:
            data = state.get("data")
            if data and not state.get("error") and _metrics(data):
                yield state.get("name") or (rev if (rev := state["rev"]) == "workspace" else rev[:7]), data


def _metrics(data: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Model -> metric -> value; empty if the file is missing or invalid."""
    return data.get("metrics", {}).get(METRICS, {}).get("data") or {}


def _params(data: dict[str, Any]) -> dict[str, Any]:
    return data.get("params", {}).get(PARAMS, {}).get("data") or {}
