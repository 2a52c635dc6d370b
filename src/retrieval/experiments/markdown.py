"""The report of a change as Markdown for GitHub: tables, Mermaid charts, links to the pictures."""

import json
import math
from typing import Any

from retrieval.errors import Problem
from retrieval.experiments.change import Change, Plot
from retrieval.experiments.leaderboard import HIGHER_IS_BETTER, METRIC_ORDER
from retrieval.experiments.repository import call

import numpy as np
from tabulate import tabulate

MAX_POINTS = 60  # per line
PALETTE = {"blue": "#0072B2", "orange": "#D55E00"}
INTERVALS = (
    "± is half the width of the 95 % interval of a change, as if the two sides had different users; for the same users "
    "it is narrower. A smaller change may be noise."
)


def render(change: Change, mark: str, raw: str | None) -> str:
    """The report, starting with the line `mark`. Pictures are at `raw`/commit/path; without `raw` there are none."""
    parts = [mark, f"## Experiment: {change.base} → {change.head}", *change.notes, _params(change), _metrics(change)]
    charts = [chart for plot in change.plots if plot.differs and (chart := _chart(plot, change.base, change.head))]
    if charts:
        legend = f"Blue: `{change.base}`; orange: `{change.head}`."
        parts.append("\n\n".join([f"<details open><summary>Plots</summary>\n\n{legend}", *charts, "</details>"]))
    if raw:
        parts.append(_pictures(change, raw))
    return "\n\n".join(parts) + "\n"


def metric_names(change: Change) -> list[str]:
    """The names of all metrics; those of the leaderboard come first."""
    names = sorted({name for metrics in change.metrics.values() for name in metrics})
    first = [name for start in METRIC_ORDER for name in names if name.startswith(f"{start}@")]
    return [*first, *(name for name in names if name not in first)]


def ranked(change: Change) -> list[str]:
    """The models, best first by the first metric of the head; those without it come last."""
    first = next(iter(metric_names(change)), "")
    values = {model: metrics.get(first, (None, None))[1] for model, metrics in change.metrics.items()}
    return sorted(values, key=lambda model: -math.inf if (value := values[model]) is None else value, reverse=True)


def verdict(change: Change, model: str, metric: str) -> str:
    """ "better" or "worse" if the change is larger than its noise and the metric has a good end, else ""."""
    old, new = change.metrics[model].get(metric, (None, None))
    wide = change.noise.get(model, {}).get(metric)
    if old is None or new is None or wide is None or abs(new - old) <= wide:
        return ""
    if metric.split("@")[0] not in HIGHER_IS_BETTER:
        return ""
    return "better" if new > old else "worse"


def format_value(value: Any) -> str:
    """A value as text; empty for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}"
    return value if isinstance(value, str) else json.dumps(value)


def format_difference(old: float | None, new: float | None, noise: float | None = None) -> str:
    """new - old with its sign and its noise; "=", "≈", "new", "removed" or "" if there is no difference to show."""
    if old == new:
        return "" if old is None else "="
    if old is None or new is None:
        return "new" if old is None else "removed"
    text = f"{new - old:+.4f}"
    if float(text) == 0:
        return "≈"
    return text if noise is None else f"{text} ± {noise:.4f}"


def _params(change: Change) -> str:
    params = [(name, *map(format_value, values)) for name, values in sorted(change.params.items())]
    rows = [[f"`{cell}`" for cell in row] for row in params]
    if not rows:
        return "No parameter differs."
    return tabulate(rows, ["parameter", change.base, change.head], "github", disable_numparse=True)


def _metrics(change: Change) -> str:
    names = metric_names(change)
    changed, unchanged = [], []
    for model in ranked(change):
        pairs = [change.metrics[model].get(name, (None, None)) for name in names]
        if all(old == new for old, new in pairs):
            unchanged.append(model)
        else:
            changed.append([model, *(_cell(change, model, name) for name in names)])
    parts = []
    if changed:
        parts.append(tabulate(changed, ["model", *names], "github", disable_numparse=True))
        parts += [f"{INTERVALS} A larger one is bold."] if change.noise else []
    if unchanged:
        parts.append(f"Unchanged: {', '.join(unchanged)}.")
    return "\n\n".join(parts) or "No metrics."


def _cell(change: Change, model: str, metric: str) -> str:
    """The value of the head, and the change in parentheses, bold if it is a verdict."""
    old, new = change.metrics[model].get(metric, (None, None))
    difference = format_difference(old, new, change.noise.get(model, {}).get(metric))
    mark = "**" if verdict(change, model, metric) else ""
    return f"{format_value(new)} ({mark}{difference}{mark})" if difference else ""


def _chart(plot: Plot, base: str, head: str) -> str | None:
    """A Mermaid chart of a plot with one line per revision; None if it has more, or if the two do not overlap.

    Mermaid has no legend, and it spreads the values of a line evenly over the axis: both lines are interpolated at the
    same points.
    """
    lines = next(iter(plot.lines.values())) if len(plot.lines) == 1 else {}
    if set(lines) != {base, head}:
        return None
    low, high = max(min(x) for x, _ in lines.values()), min(max(x) for x, _ in lines.values())
    if not low < high:
        return None
    points = np.linspace(low, high, min(MAX_POINTS, max(len(x) for x, _ in lines.values())))
    rows = [[f"{each:.6g}" for each in np.interp(points, *lines[revision])] for revision in (base, head)]
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
    """Links to the pictures of both revisions, side by side. Raises `Problem` for the work tree, which has no URL."""
    if change.head == "workspace":
        raise Problem("--raw: the work tree has no URL; give two revisions")
    commits = [call("git", "rev-parse", f"{revision}^{{commit}}").strip() for revision in (change.base, change.head)]
    rows = [
        [f"![{name}, {commit[:7]}]({raw}/{commit}/{name})" for commit in commits]
        for name, parts in change.pictures.items()
        if len(parts) == len(commits)
    ]
    table = tabulate(rows, [change.base, change.head], "github")
    return f"<details><summary>Pictures</summary>\n\n{table}\n\n</details>"
