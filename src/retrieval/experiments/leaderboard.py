"""The leaderboard: every experiment and model that has metrics, best first, with the parameters that differ.

Choices are made on folds 1 and up of `split.fold`, the validation; fold 0 is the test. Experiments that differ in fold
and seed only are one row: validation is the mean over their folds, ± the deviation over seeds, and sorts the table; the
test stands beside it. An exclamation mark means that the choice of these parameters saw the test, as there is no result
on another fold.

A row shows only the parameters that differ from the current commit and that the stages of its model read. Results that
several experiments share, such as those of the baselines when only the loss changes, appear once, under the experiment
with the fewest of these. Failed runs have no row. A star marks the best value of a column.

Results on other data, or on another test of the same data, do not compare: they are a table of their own, under a line
that says what they are on. The data of the work tree come first.
"""

import argparse
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import groupby
from typing import Any

from retrieval.errors import Problem, choices
from retrieval.experiments.repository import command, experiments, first_map
from retrieval.experiments.rows import Row, rows
from retrieval.experiments.stages import read_by

from tabulate import tabulate

METRIC_ORDER = ("map", "ndcg", "novelty")  # the columns
HIGHER_IS_BETTER = ("map", "ndcg", "recall")  # not novelty: random lists have the most
WIDTH = 100  # characters
NARROWEST = 20  # of the column of parameters


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
    table = rows(experiments(*(["--all-commits"] if options.all_commits else [])), read_by)
    if not table:
        raise Problem("no experiment has metrics; run `dvc repro` or `dvc exp run` first")
    table, metric = sort_rows(select_models(table, options.model) if options.model else table, options.sort)
    if options.json:
        lines = [asdict(row) | {"saw_test": row.saw_test} for row in table]
        print(json.dumps(lines, indent=2, ensure_ascii=False))
    else:
        print(render(table, metric, "github" if options.md else "simple"))


def select_models(table: list[Row], models: list[str]) -> list[Row]:
    """The rows of these models. Raises `Problem` for an unknown model."""
    available = {row.model for row in table}
    for model in models:
        if model not in available:
            raise Problem(f"--model: unknown model {model!r}; {choices(model, available)}")
    return [row for row in table if row.model in models]


def sort_rows(table: list[Row], metric: str | None) -> tuple[list[Row], str]:
    """Table by table, best first, and the metric: MAP for None. Raises `Problem` for an unknown metric."""
    available = sorted({name for row in table for name in row.test | row.validation})
    metric = metric or first_map(available)
    if metric not in available:
        raise Problem(f"--sort: unknown metric {metric!r}; {choices(metric, available)}")
    return sorted(table, key=lambda row: row.order(metric)), metric


def render(table: list[Row], metric: str, form: str) -> str:
    """The tables as text or Markdown (`form`: "simple" or "github"), with a star at the best value of a column.

    table: sorted by `sort_rows`. Each part of it that compares is a table, under what it is on if there are several.
    """
    parts = [list(part) for _, part in groupby(table, key=lambda row: row.table)]
    texts = []
    for part in parts:
        texts += [f"{_assignments(part[0].data)}:"] if len(parts) > 1 else []
        texts.append(_render_part(part, metric, form))
    notes = []
    if any(row.validation for row in table):
        notes.append(f"validation: {metric}, mean over the folds, ± over seeds; test: fold 0")
    if any(row.saw_test for row in table):
        notes.append("!: the choice saw the test; run it with split.fold=1, 2 and 3, or use `make compare`")
    return "\n\n".join([*texts, "\n".join(notes)] if notes else texts)


def _render_part(table: list[Row], metric: str, form: str) -> str:
    """Rows that compare as one table."""
    validated = any(row.validation for row in table)
    length = metric.partition("@")[2]
    ordered = [f"{start}@{length}" for start in METRIC_ORDER]
    names = [metric] if validated else dict.fromkeys([metric, *ordered])
    shown = [name for name in names if any(name in row.test for row in table)]
    best = {name: _best(name, (row.test for row in table)) for name in shown}
    highest = _best(metric, (row.validation for row in table))
    lines = []
    for row in table:
        cells = [f"{_cell(row.test.get(name), best[name])}{'!' if row.saw_test else ' '}" for name in shown[:1]]
        cells += [_cell(row.test.get(name), best[name]) for name in shown[1:]]
        lines.append([row.experiment, row.model, *(_validation(row, metric, highest) if validated else []), *cells])
    tests = ["test" if name == metric and validated else name for name in shown]
    headers = ["experiment", "model", *(["validation", "folds"] if validated else []), *tests]
    return _tabulate(lines, headers, [_assignments(row.params) for row in table], form)


def _tabulate(lines: list[list[str]], headers: list[str], params: list[str], form: str) -> str:
    """The table with the parameters as its last column, which takes what the others leave of the width."""
    align = ["left", "left", *["right"] * (len(headers) - 2), "left"]
    widths: list[int | None] | None = None
    if form == "simple":
        widths = [20, 16, *[None] * (len(headers) - 2)]
        columns = [max(map(len, column)) for column in zip(headers, *lines, strict=True)]
        used = sum(min(width, limit or width) + 2 for width, limit in zip(columns, widths, strict=True))
        widths.append(max(NARROWEST, WIDTH - used))
    rows = [[*line, each] for line, each in zip(lines, params, strict=True)]
    return tabulate(
        rows, [*headers, "parameters that differ"], form, colalign=align, maxcolwidths=widths, disable_numparse=True
    )


def _validation(row: Row, metric: str, best: float | None) -> list[str]:
    """The cells of the validation and its folds."""
    if metric not in row.validation:
        return ["", ""]
    spread = f" ± {row.deviation[metric]:.4f}" if metric in row.deviation else ""
    star = "*" if row.validation[metric] == best else " "
    return [f"{row.validation[metric]:.4f}{spread}{star}", ",".join(map(str, row.folds))]


def _best(name: str, values: Iterable[Mapping[str, float]]) -> float | None:
    """The highest value of a metric of which more is better."""
    known = [each[name] for each in values if name in each]
    return max(known) if known and name.startswith(tuple(f"{start}@" for start in HIGHER_IS_BETTER)) else None


def _cell(value: float | None, best: float | None) -> str:
    return "" if value is None else f"{value:.4f}{'*' if value == best else ' '}"


def _assignments(params: dict[str, Any]) -> str:
    return " ".join(
        f"{name}={json.dumps(value) if not isinstance(value, str) else value}" for name, value in params.items()
    )


if __name__ == "__main__":
    command(main)
