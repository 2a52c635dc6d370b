"""The leaderboard: every experiment and model that has metrics, best first, with the parameters that differ.

An experiment's parameters are told by what differs from those of the current commit. A result that several experiments
share, such as that of the baselines when the loss changes, is one row, the first one's. Failed runs have no metrics and
no row. The best of a column is marked with a star.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from retrieval.errors import Problem, choices
from retrieval.experiments.repository import METRICS, PARAMS, command, dvc_json, flat

from tabulate import tabulate

SHOWN = ("map", "ndcg", "novelty")
BETTER = ("map", "ndcg")  # more novelty is not better by itself: random lists have the most
WIDTH = 40  # of the column of parameters, so that a table stays under 100 columns


@dataclass(frozen=True)
class Row:
    """A model of an experiment: its metrics, and the parameters that differ from the current commit's."""

    experiment: str
    model: str
    metrics: dict[str, float]
    params: dict[str, Any]


def main() -> None:
    """Print the leaderboard."""
    parser = argparse.ArgumentParser(prog="leaderboard", description=(__doc__ or "").splitlines()[0])
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--md", action="store_true", help="as a Markdown table")
    form.add_argument("--json", action="store_true", help="as JSON, with all metrics")
    parser.add_argument("--sort", metavar="METRIC", help="such as ndcg@10 (default: MAP)")
    parser.add_argument("--model", action="append", help="only this model; may be given several times")
    parser.add_argument("--all-commits", action="store_true", help="experiments of every commit, not of this one alone")
    options = parser.parse_args()
    shown = dvc_json("exp", "show", *(["--all-commits"] if options.all_commits else []))
    table = rows(shown)
    if not table:
        raise Problem("no experiment with metrics; run `dvc repro` or `dvc exp run` first")
    if options.model:
        models = {row.model for row in table}
        for name in options.model:
            if name not in models:
                raise Problem(f"--model: no experiment has {name!r}; {choices(name, models)}")
        table = [row for row in table if row.model in options.model]
    table = ordered(table, options.sort)
    if options.json:
        print(json.dumps([vars(row) for row in table], indent=2, ensure_ascii=False))
    else:
        print(render(table, "github" if options.md else "simple"))


def rows(shown: list[dict[str, Any]]) -> list[Row]:
    """The rows of what `dvc exp show --json` says, each result once."""
    entries = list(_entries(shown))
    base = next((flat(_params(data)) for name, data in entries if name != "workspace"), {})
    found: dict[tuple[Any, ...], Row] = {}
    for name, data in sorted(entries, key=lambda entry: entry[0] == "workspace"):  # last: mostly it is no new result
        params = flat(_params(data))
        differ = {key: value for key, value in params.items() if key not in base or base[key] != value}
        for model, metrics in _metrics(data).items():
            found.setdefault((model, *sorted(metrics.items())), Row(name, model, metrics, differ))
    return list(found.values())


def ordered(table: list[Row], metric: str | None) -> list[Row]:
    """Best first; `Problem` if there is no such metric."""
    known = sorted({name for row in table for name in row.metrics})
    metric = metric or next((name for name in known if name.startswith("map@")), known[0])
    if metric not in known:
        raise Problem(f"--sort: {metric!r} is no metric; {choices(metric, known)}")
    return sorted(table, key=lambda row: -row.metrics.get(metric, float("-inf")))


def render(table: list[Row], form: str) -> str:
    """As text or Markdown, the best of each column with a star."""
    known = dict.fromkeys(name for row in table for name in row.metrics)
    names = [name for start in SHOWN for name in known if name.startswith(f"{start}@")]
    best = {
        name: max(row.metrics[name] for row in table if name in row.metrics)
        for name in names
        if name.startswith(tuple(f"{start}@" for start in BETTER))
    }
    lines = []
    for row in table:
        cells = [_cell(row.metrics.get(name), best.get(name)) for name in names]
        lines.append([row.experiment, row.model, *cells, _differ(row.params)])
    align = ["left", "left", *["right"] * len(names), "left"]
    widths = [20, 16, *[None] * len(names), WIDTH] if form == "simple" else None
    headers = ["experiment", "model", *names, "parameters that differ"]
    return tabulate(lines, headers, form, colalign=align, maxcolwidths=widths, disable_numparse=True)


def _cell(value: float | None, best: float | None) -> str:
    return "" if value is None else f"{value:.4f}{'*' if value == best else ' '}"


def _differ(params: dict[str, Any]) -> str:
    return " ".join(
        f"{name}={json.dumps(value) if not isinstance(value, str) else value}" for name, value in params.items()
    )


def _entries(shown: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and data of every revision with metrics."""
    for revision in shown:
        states = [revision, *(state for each in revision["experiments"] or [] for state in each["revs"] or [])]
        for state in states:
            data = state.get("data")
            if data and not state.get("error") and _metrics(data):
                yield state.get("name") or (rev if (rev := state["rev"]) == "workspace" else rev[:7]), data


def _metrics(data: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Model -> metric -> value; none if the file is not there or cannot be read."""
    return data.get("metrics", {}).get(METRICS, {}).get("data") or {}


def _params(data: dict[str, Any]) -> dict[str, Any]:
    return data.get("params", {}).get(PARAMS, {}).get("data") or {}


if __name__ == "__main__":
    command(main)
