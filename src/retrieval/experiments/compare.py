"""Compare models, experiments and settings over folds and seeds: is one better, and how sure is that?

Runs what has not run. The first is compared with each of the others: the mean difference of MAP, paired by user, with a
95 % interval by bootstrap over users (Efron 1979), and p-values corrected for the number of comparisons (Holm 1979).
"""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

from retrieval.errors import Problem
from retrieval.evaluation.intervals import bootstrap
from retrieval.experiments.arguments import add_options, check_options, models, number
from retrieval.experiments.copies import find
from retrieval.experiments.repository import Snapshot, call, command, first_map, flat, work_tree
from retrieval.experiments.stages import check_read
from retrieval.experiments.trials import Trial, per_user, run_all, trial_of

import numpy as np
from tabulate import tabulate

SIGNIFICANT = 0.05
Cells = dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]  # (fold, seed) -> ids and values [users]


@dataclass(frozen=True)
class Comparison:
    """The first minus another: mean difference, the ends of its 95 % interval, p-value, and that after Holm."""

    difference: float
    low: float
    high: float
    p: float
    p_holm: float = 1.0

    @property
    def verdict(self) -> str:
        """Of the first."""
        return "no difference shown" if self.p_holm >= SIGNIFICANT else "better" if self.difference > 0 else "worse"


def main() -> None:
    """Run what is missing; print means, differences and a verdict."""
    parser = argparse.ArgumentParser(prog="compare", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "contenders", nargs="+", metavar="WHAT",
        help="'NAME=VALUE NAME=VALUE' as for dvc exp run -S, an experiment, a revision, a model, or `workspace`",
    )  # fmt: skip
    seeds = partial(number, int, "--seeds", 1)
    parser.add_argument("--seeds", type=seeds, default=3, help="seeds, from that of params.yaml upwards (default: 3)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_options(parser)
    options = parser.parse_args()
    here = work_tree()
    check_options(options, here)
    if len(set(options.contenders)) < 2:
        raise Problem("expected two or more to compare")
    contenders = {text: contender(text, here, options.model) for text in options.contenders}
    first = next(iter(contenders.values())).params
    cells = list(product(options.folds, range(first["seed"], first["seed"] + options.seeds)))
    trials = {
        (name, *cell): trial.changed([f"split.fold={cell[0]}", f"seed={cell[1]}"])
        for name, trial in contenders.items()
        for cell in cells
    }
    missing = sum(find(trial.name) is None for trial in trials.values())
    print(f"compare: {missing} of {len(trials)} experiments have to run", file=sys.stderr, flush=True)
    references = dict(zip(trials, run_all(list(trials.values()), options.jobs), strict=True))
    metric = ""
    results: dict[str, Cells] = {name: {} for name in contenders}
    for (name, *cell), reference in references.items():
        users, values = per_user(reference, contenders[name].model)
        metric = first_map(values)
        results[name][cell[0], cell[1]] = users, values[metric]
    comparisons = compare(results, first["evaluate"]["resamples"], first["seed"])
    if options.json:
        print(json.dumps(as_json(results, comparisons), indent=2))
    else:
        print(render(results, comparisons, metric))


def contender(text: str, here: Snapshot, model: str) -> Trial:
    """What a name on the command line stands for. Raises `Problem` if it is not valid."""
    if "=" in text:
        changes = shlex.split(text)
        trial = trial_of(here, model).changed(changes)
        check_read(model, [change.partition("=")[0] for change in changes], flat(trial.params))
    elif text == "workspace" or text in models(here):
        trial = trial_of(here, model if text == "workspace" else text)
    else:
        trial = trial_of(revision(text), model)
    trial.params  # noqa: B018
    return trial


def revision(name: str) -> Snapshot:
    """An experiment, with its baseline as the commit, or a revision. Raises `Problem` if it is neither."""
    experiment = find(name)
    tip, commit = (experiment, f"{experiment}^") if experiment else (name, f"{name}^{{commit}}")
    try:
        return Snapshot(*(call("git", "rev-parse", "--verify", each).strip() for each in (commit, f"{tip}^{{tree}}")))
    except Problem:
        raise Problem(f"{name}: no such model, experiment or revision; expected one, or NAME=VALUE") from None


def compare(results: dict[str, Cells], resamples: int, seed: int) -> dict[str, Comparison]:
    """Name -> comparison of the first with it, for all others. Raises `Problem` if they have other users."""
    first, *others = results
    raw = {}
    for other in others:
        gaps = differences(results[first], results[other], f"{first} and {other}")
        samples = sample_means(gaps, resamples, np.random.default_rng(seed))
        low, high = np.quantile(samples, [0.025, 0.975])
        tail = min(np.count_nonzero(samples <= 0), np.count_nonzero(samples >= 0))
        p = min(1.0, 2 * (1 + tail) / (1 + resamples))
        raw[other] = Comparison(float(np.nanmean(gaps, axis=0).mean()), float(low), float(high), p)
    corrected = holm([each.p for each in raw.values()])
    return {
        other: Comparison(each.difference, each.low, each.high, each.p, p)
        for (other, each), p in zip(raw.items(), corrected, strict=True)
    }


def differences(one: Cells, other: Cells, names: str) -> np.ndarray:
    """[users, cells], the values of one minus the other; NaN where a user is not in the test of a cell."""
    every = np.unique(np.concatenate([users for users, _ in one.values()]))
    gaps = np.full((len(every), len(one)), np.nan)
    for column, cell in enumerate(one):
        (users, mine), (theirs, values) = one[cell], other[cell]
        if not np.array_equal(users, theirs):
            raise Problem(f"{names}: other test users in fold {cell[0]}; expected the same data and split")
        gaps[np.searchsorted(every, users), column] = mine - values
    return gaps


def sample_means(gaps: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """[resamples], the mean over cells of the mean over users, with users drawn with replacement.

    gaps [users, cells]: a user is drawn with all of the cells, as folds and seeds of one user are not independent.
    """
    there = ~np.isnan(gaps)
    means = bootstrap(np.hstack([np.where(there, gaps, 0.0), there]), resamples, rng)
    totals, counts = np.hsplit(means, 2)
    return (totals / np.maximum(counts, np.finfo(float).tiny)).mean(axis=1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrected p-values, in the order given (Holm 1979): the smallest times n, the next times n - 1, never falling."""
    result, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - rank)))
        result[index] = largest
    return result


def summary(cells: Cells) -> tuple[float, float]:
    """Mean over folds and seeds, and sample deviation over seeds of the mean over folds."""
    by_seed: dict[int, list[float]] = {}
    for (_, seed), (_, values) in cells.items():
        by_seed.setdefault(seed, []).append(float(values.mean()))
    means = [float(np.mean(each)) for each in by_seed.values()]
    return float(np.mean(means)), float(np.std(means, ddof=1)) if len(means) > 1 else 0.0


def as_json(results: dict[str, Cells], comparisons: dict[str, Comparison]) -> dict[str, dict[str, float | str]]:
    """Name -> mean, deviation, and for all but the first the comparison."""
    lines: dict[str, dict[str, float | str]] = {}
    for name, cells in results.items():
        mean, deviation = summary(cells)
        lines[name] = {"mean": mean, "deviation": deviation}
        if each := comparisons.get(name):
            lines[name] |= vars(each) | {"verdict": each.verdict}
    return lines


def render(results: dict[str, Cells], comparisons: dict[str, Comparison], metric: str) -> str:
    """The table, and one sentence per comparison."""
    first = next(iter(results))
    folds, seeds = (len({cell[i] for cell in results[first]}) for i in (0, 1))
    rows, sentences = [], []
    for name, cells in results.items():
        mean, deviation = summary(cells)
        row = [name, f"{mean:.4f} ± {deviation:.4f}", "", "", ""]
        if each := comparisons.get(name):
            interval = f"{each.low:+.4f} to {each.high:+.4f}"
            row[2:] = [f"{each.difference:+.4f}", interval, f"{each.p_holm:.3f}"]
            numbers = f"{each.difference:+.4f}, 95 % {interval}, p = {each.p_holm:.3f}"
            sentences.append(f"{first} against {name}: {each.verdict} ({numbers})")
        rows.append(row)
    p = "p" if len(comparisons) == 1 else "p (Holm)"
    headers = ["", f"{metric} ± seeds", "the first minus it", "95 %", p]
    table = tabulate(rows, headers, "simple", disable_numparse=True, maxcolwidths=[40, None, None, None, None])
    note = f"Mean over {folds} folds and {seeds} seeds; ± is the deviation over seeds; the interval is over users."
    return "\n".join([table, "", note, *sentences])


if __name__ == "__main__":
    command(main)
