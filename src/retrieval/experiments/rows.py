"""The rows of the leaderboard, out of what `dvc exp show` says.

Experiments that differ in `split.fold` and `seed` only are one row.

Only results on the same test compare: rows of one `table`. What the test was is told by the hash of data/raw in
dvc.lock, and by the parameters that choose the test out of these data. The hash is that of the data themselves. It
knows what parameters do not, such as new files in the same folder, and does not change with the fold or with what is
filtered from train, as that of data/prepared does. Synthetic data also differ from seed to seed, which are one row:
they go by their parameters.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

from retrieval.experiments.repository import METRICS, PARAMS, WORKSPACE, flat, is_in

FOLD, SEED, TEST = "split.fold", "seed", 0
RAW, SYNTHETIC = "data/raw", "kion-synthetic"
SOURCE = ("data", "folder", "mapping", "movielens", "kion", "synthetic")  # what names the data
CHOSEN = ("split", "positives", "evaluate.candidates")  # what chooses the test
NOT_CHOSEN = (FOLD, "positives.weight", "positives.exclude_disliked")
ReadBy = Callable[[str, Collection[str]], Collection[str]]  # model, names of parameters -> those that decide its result


@dataclass(frozen=True)
class Result:
    """A model of an experiment on one fold with one seed; params and data as in `Row`."""

    experiment: str
    model: str
    fold: int
    seed: int
    metrics: dict[str, float]
    params: dict[str, Any]
    table: int
    data: dict[str, Any]


@dataclass(frozen=True)
class Row:
    """A model with some parameters: metric -> mean on the folds of the validation, its deviation, and on the test.

    params: those that differ from the current commit and that the model reads, without fold, seed and data. table: rows
    of one number compare; 0 is that of the work tree. data: the source, and the parameters that differ and decide what
    the test is.
    """

    experiment: str
    model: str
    params: dict[str, Any] = field(default_factory=dict)
    test: dict[str, float] = field(default_factory=dict)
    validation: dict[str, float] = field(default_factory=dict)
    deviation: dict[str, float] = field(default_factory=dict)
    folds: tuple[int, ...] = ()
    table: int = 0
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def saw_test(self) -> bool:
        """Whether the parameters were chosen, and on nothing but the test."""
        return bool(self.params) and not self.validation

    def order(self, metric: str) -> tuple[int, bool, float]:
        """What it is sorted by: within its table the validation, and after all rows that have it the test."""
        values = self.validation or self.test
        return (self.table, not self.validation, -values.get(metric, float("-inf")))


def rows(revisions: list[dict[str, Any]], read_by: ReadBy) -> list[Row]:
    """The rows of the output of `dvc exp show --json`."""
    groups: dict[tuple[Any, ...], list[Result]] = {}
    for result in results(revisions, read_by):
        key = (result.table, result.model, json.dumps(result.params, sort_keys=True))
        groups.setdefault(key, []).append(result)
    return [_row(group) for group in groups.values()]


def results(revisions: list[dict[str, Any]], read_by: ReadBy) -> list[Result]:
    """The results in the output of `dvc exp show --json`; equal results of a model appear once."""
    entries = [(name, flat(_params(data)), data) for name, data in _entries(revisions)]
    base = next((params for name, params, _ in entries if name != WORKSPACE), {})
    changed = [
        (name, params, data, {key: value for key, value in params.items() if base.get(key, key) != value})
        for name, params, data in entries
    ]
    tests = list(dict.fromkeys(_test(*each[1:]) for each in changed))
    models = {model for _, _, data, _ in changed for model in _metrics(data)}
    unread = {model: set(base) - set(read_by(model, base)) for model in models}
    found: dict[tuple[Any, ...], Result] = {}
    for name, params, data, differences in sorted(changed, key=lambda each: (each[0] == WORKSPACE, len(each[3]))):
        fold, seed, table = params.get(FOLD, TEST), params.get(SEED, 0), tests.index(_test(params, data, differences))
        source = {key: params[key] for key in params if key == "data" or (key in differences and _is_data(key))}
        for model, metrics in _metrics(data).items():
            own = {key: differences[key] for key in differences if key not in {FOLD, SEED, *source, *unread[model]}}
            result = Result(name, model, fold, seed, metrics, own, table, source)
            found.setdefault((model, *sorted(metrics.items())), result)
    return list(found.values())


def chooses_test(name: str) -> bool:
    """Whether a parameter decides, on every fold, which interactions of the data are the test."""
    return is_in(name, CHOSEN) and name not in NOT_CHOSEN


def _is_data(name: str) -> bool:
    return is_in(name, SOURCE) or chooses_test(name)


def _test(params: dict[str, Any], data: dict[str, Any], differences: dict[str, Any]) -> str:
    """A text that is the same for results on the same test, whatever the fold; see above."""
    raw = data.get("outs", {}).get(RAW, {}).get("hash")
    if params.get("data") == SYNTHETIC:
        raw = {name: value for name, value in params.items() if is_in(name, ["synthetic"])}
    return json.dumps([raw, {name: value for name, value in differences.items() if chooses_test(name)}], sort_keys=True)


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
        group[0].table,
        group[0].data,
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
                yield state.get("name") or (rev if (rev := state["rev"]) == WORKSPACE else rev[:7]), data


def _metrics(data: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Model -> metric -> value; empty if the file is missing or invalid."""
    return data.get("metrics", {}).get(METRICS, {}).get("data") or {}


def _params(data: dict[str, Any]) -> dict[str, Any]:
    return data.get("params", {}).get(PARAMS, {}).get("data") or {}
