"""The report of a change as Markdown for GitHub: tables, Mermaid charts, and links to the repository's pictures."""

import json
from typing import Any

from retrieval.errors import Problem
from retrieval.experiments.change import Change, Plot
from retrieval.experiments.leaderboard import SHOWN
from retrieval.experiments.repository import call

import numpy as np
from tabulate import tabulate

POINTS = 60  # of a line, at most
PALETTE = {"blue": "#0072B2", "orange": "#D55E00"}


def render(change: Change, mark: str, raw: str | None) -> str:
    """The whole text; `raw` is the address below which the repository's files are found by revision and path."""
    parts = [mark, f"## Experiment: {change.base} → {change.head}", _params(change), _metrics(change)]
    charts = [chart for plot in change.plots if plot.changed and (chart := _chart(plot, change.base, change.head))]
    if charts:
        legend = f"Blue: `{change.base}`; orange: `{change.head}`."
        parts.append("\n\n".join([f"<details open><summary>Plots</summary>\n\n{legend}", *charts, "</details>"]))
    if raw:
        parts.append(_pictures(change, raw))
    return "\n\n".join(parts) + "\n"


def named(change: Change) -> list[str]:
    """The metrics' names, those that the leaderboard shows first."""
    names = sorted({name for metrics in change.metrics.values() for name in metrics})
    first = [name for start in SHOWN for name in names if name.startswith(f"{start}@")]
    return [*first, *(name for name in names if name not in first)]


def value(each: Any) -> str:
    """A value as people read it; nothing for none."""
    if each is None:
        return ""
    return f"{each:.4f}" if isinstance(each, float) else each if isinstance(each, str) else json.dumps(each)


def signed(old: float | None, new: float | None) -> str:
    """The difference with its sign; "=" for none."""
    if old is None or new is None:
        return "new" if old is None else "gone"
    return "=" if old == new else f"{new - old:+.4f}"


def _params(change: Change) -> str:
    rows = [[f"`{name}`", f"`{value(old)}`", f"`{value(new)}`"] for name, (old, new) in sorted(change.params.items())]
    if not rows:
        return "No parameter differs."
    return tabulate(rows, ["parameter", change.base, change.head], "github", disable_numparse=True)


def _metrics(change: Change) -> str:
    names = named(change)
    changed, same = [], []
    for model, metrics in change.metrics.items():
        pairs = [metrics.get(name, (None, None)) for name in names]
        if all(old == new for old, new in pairs):
            same.append(model)
        else:
            changed.append([model, *(f"{value(new)} ({signed(old, new)})" for old, new in pairs)])
    lines = [tabulate(changed, ["model", *names], "github", disable_numparse=True)] if changed else []
    return (
        "\n\n".join([*lines, *([f"Without a change: {', '.join(same)}."] if same else [])]) or "There are no metrics."
    )


def _chart(plot: Plot, base: str, head: str) -> str | None:
    """A Mermaid chart of a plot of one line; None for others, as Mermaid has no legend, and for lines without overlap.

    Mermaid spreads a line's values evenly over the axis, so both lines are read off at the same places.
    """
    lines = next(iter(plot.lines.values())) if len(plot.lines) == 1 else {}
    if set(lines) != {base, head}:
        return None
    low, high = max(min(x) for x, _ in lines.values()), min(max(x) for x, _ in lines.values())
    if not low < high:
        return None
    places = np.linspace(low, high, min(POINTS, max(len(x) for x, _ in lines.values())))
    rows = [[f"{each:.6g}" for each in np.interp(places, *lines[revision])] for revision in (base, head)]
    texts = (f"{plot.title} ({plot.name})", plot.x, plot.y)
    title, x, y = (json.dumps(text.replace('"', "'"), ensure_ascii=False) for text in texts)
    theme = {"themeVariables": {"xyChart": {"plotColorPalette": ", ".join(PALETTE.values())}}}
    return "\n".join(
        [
            "```mermaid",
            f"%%{{init: {json.dumps(theme)}}}%%",
            "xychart-beta",
            f"    title {title}",
            f"    x-axis {x} {low:.6g} --> {high:.6g}",
            f"    y-axis {y}",
            *(f"    line [{', '.join(row)}]" for row in rows),
            "```",
        ]
    )


def _pictures(change: Change, raw: str) -> str:
    """Pictures that git has in both revisions, side by side; the work tree has no address."""
    if change.head == "workspace":
        raise Problem("--raw: the work tree has no address; name the second revision")
    commits = [call("git", "rev-parse", f"{revision}^{{commit}}").strip() for revision in (change.base, change.head)]
    rows = [
        [f"![{name}, {commit[:7]}]({raw}/{commit}/{name})" for commit in commits]
        for name, parts in change.pictures.items()
        if len(parts) == len(commits)
    ]
    table = tabulate(rows, [change.base, change.head], "github")
    return f"<details><summary>Pictures</summary>\n\n{table}\n\n</details>"
