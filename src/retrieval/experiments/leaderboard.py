"""The leaderboard: every experiment and model that has metrics, best first, with the parameters that differ.

A row shows only the parameters that differ from the current commit. Results that several experiments share, such as
those of the baselines when only the loss changes, appear once, under the first experiment. Failed runs have no row. A
star marks the best value of a column.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from retrieval.errors import Problem, choices
from retrieval.experiments.repository import METRICS, PARAMS, command, dvc_json, flat

from tabulate import tabulate

METRIC_ORDER = ("map", "ndcg", "novelty")  # the columns
HIGHER_IS_BETTER = ("map", "ndcg", "recall")  # not novelty: random lists have the most
PARAMS_WIDTH = 40  # characters, so that the table fits into 100


@dataclass(frozen=True)
class Row:
    """A model of an experiment: its metrics, and the parameters that differ from the current commit."""

    experiment: str
    model: str
    metrics: dict[str, float]
    params: dict[str, Any]


def main() -> None:
    """Print the leaderboard."""
    parser = argparse.ArgumentParser(prog="leaderboard", description=(__doc__ or "").splitlines()[0])
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--md", action="store_true", help="print a Markdown table")
    form.add_argument("--json", action="store_true", help="print JSON with all metrics")
    parser.add_argument("--sort", metavar="METRIC", help="metric to sort by, such as ndcg@10 (default: MAP)")
    parser.add_argument("--model", action="append", help="show only this model; may be repeated")
    parser.add_argument("--all-commits", action="store_true", help="include experiments of other commits")
    options = parser.parse_args()
    table = rows(dvc_json("exp", "show", *(["--all-commits"] if options.all_commits else [])))
    if not table:
        raise Problem("no experiment has metrics; run `dvc repro` or `dvc exp run` first")
    table = sort_rows(select_models(table, options.model) if options.model else table, options.sort)
    if options.json:
        print(json.dumps([vars(row) for row in table], indent=2, ensure_ascii=False))
    else:
        print(render(table, "github" if options.md else "simple"))


def rows(revisions: list[dict[str, Any]]) -> list[Row]:
    """The rows of the output of `dvc exp show --json`; equal results of a model appear once."""
    entries = list(_entries(revisions))
    base = next((flat(_params(data)) for name, data in entries if name != "workspace"), {})
    results: dict[tuple[Any, ...], Row] = {}
    for name, data in sorted(entries, key=lambda entry: entry[0] == "workspace"):  # last: it rarely has a new result
        params = flat(_params(data))
        differences = {key: value for key, value in params.items() if key not in base or base[key] != value}
        for model, metrics in _metrics(data).items():
            results.setdefault((model, *sorted(metrics.items())), Row(name, model, metrics, differences))
    return list(results.values())


def select_models(table: list[Row], models: list[str]) -> list[Row]:
    """The rows of these models. Raises `Problem` for an unknown model."""
    available = {row.model for row in table}
    for model in models:
        if model not in available:
            raise Problem(f"--model: unknown model {model!r}; {choices(model, available)}")
    return [row for row in table if row.model in models]


def sort_rows(table: list[Row], metric: str | None) -> list[Row]:
    """Best first. Raises `Problem` for an unknown metric."""
    available = sorted({name for row in table for name in row.metrics})
    metric = metric or next((name for name in available if name.startswith("map@")), available[0])
    if metric not in available:
        raise Problem(f"--sort: unknown metric {metric!r}; {choices(metric, available)}")
    return sorted(table, key=lambda row: -row.metrics.get(metric, float("-inf")))


def render(table: list[Row], form: str) -> str:
    """The table as text or Markdown (`form`: "simple" or "github"), a star at the best value of a column."""
    available = dict.fromkeys(name for row in table for name in row.metrics)
    names = [name for start in METRIC_ORDER for name in available if name.startswith(f"{start}@")]
    best = {
        name: max(row.metrics[name] for row in table if name in row.metrics)
        for name in names
        if name.startswith(tuple(f"{start}@" for start in HIGHER_IS_BETTER))
    }
    lines = []
    for row in table:
        cells = [_cell(row.metrics.get(name), best.get(name)) for name in names]
        lines.append([row.experiment, row.model, *cells, _assignments(row.params)])
    align = ["left", "left", *["right"] * len(names), "left"]
    widths = [20, 16, *[None] * len(names), PARAMS_WIDTH] if form == "simple" else None
    headers = ["experiment", "model", *names, "parameters that differ"]
    return tabulate(lines, headers, form, colalign=align, maxcolwidths=widths, disable_numparse=True)


def _cell(value: float | None, best: float | None) -> str:
    return "" if value is None else f"{value:.4f}{'*' if value == best else ' '}"


def _assignments(params: dict[str, Any]) -> str:
    return " ".join(
        f"{name}={json.dumps(value) if not isinstance(value, str) else value}" for name, value in params.items()
    )


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


if __name__ == "__main__":
    command(main)
