"""Pictures (PNG) of the evaluation. Equal data give equal bytes; the palette is Okabe and Ito's, colour-blind safe."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retrieval.evaluation.series import Series

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from matplotlib.typing import RcKeyType

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442")
GREY = "#BBBBBB"
DIGITS = 6  # of a logarithm
LONGEST = 40  # characters of a text that comes from the data
PANEL, GAP, ABOVE, BELOW = 6.8, 0.15, 0.65, 0.95  # inches: width of a map, and the room around it
LABELS = {"other": "other items", "watched": "the user's items"}
STYLE: dict[RcKeyType, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.dpi": 120,
    "text.parse_math": False,
}


@contextmanager
def picture(path: Path, width: float, height: float, fitted: bool = True) -> Iterator[Figure]:
    """A figure of `width` x `height` inches, written to `path` on exit; `fitted`: its axes fill it."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained" if fitted else None)
        FigureCanvasAgg(figure)  # without a canvas that can draw, the figure makes one for each question about a size
        yield figure
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Software": None})


def draw_intervals(
    path: Path, means: Mapping[str, Mapping[str, Mapping[str, float]]], metric: str, highlight: str
) -> None:
    """The mean of `metric` and its interval, one row per model, the best on top; model `highlight` in another colour.

    means: model -> metric -> {"mean", "low", "high"}.
    """
    names = sorted(means, key=lambda name: means[name][metric]["mean"])
    with picture(path, 7, 1.2 + 0.34 * len(names)) as figure:
        axes = figure.subplots()
        for place, name in enumerate(names):
            mean, low, high = (means[name][metric][key] for key in ("mean", "low", "high"))
            colour = COLOURS[4] if name == highlight else COLOURS[0]
            error = [[mean - low], [high - mean]]
            axes.errorbar(mean, place, xerr=error, fmt="o", color=colour, capsize=3, markersize=6)
            axes.annotate(f"{mean:.4f}", (high, place), (6, 0), textcoords="offset points", va="center", fontsize=9)
        axes.set_yticks(range(len(names)), [shorten(name) for name in names])
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_xlim(0, 1.15 * max(means[name][metric]["high"] for name in names) or 1)
        axes.grid(axis="x", alpha=0.3)
        axes.set_xlabel("mean over the test users, items new to the user")
        axes.set_title(f"{metric.upper()} and its 95 % bootstrap interval")


def draw_scores(path: Path, models: Mapping[str, Series]) -> None:
    """Densities of the score, one row per model; test on the left, train on the right."""
    with picture(path, 10, 0.9 + 2.2 * len(models)) as figure:
        grid = figure.subplots(len(models), 2, squeeze=False, sharex="row", sharey="row")
        for row, (name, series) in zip(grid, models.items(), strict=True):
            score = [point["score"] for point in series]
            for axes, period in zip(row, ("test", "train"), strict=True):
                for (kind, label), colour in zip(LABELS.items(), (COLOURS[0], COLOURS[4]), strict=True):
                    density = [point[f"{period}_{kind}"] for point in series]
                    axes.fill_between(score, density, alpha=0.35, color=colour, linewidth=0, step="mid")
                    axes.step(score, density, color=colour, where="mid", linewidth=1.2, label=label)
                axes.set_title(f"{name}, {period}")
                axes.set_ylim(bottom=0)
                axes.locator_params(axis="x", nbins=8)
                axes.set_xlabel("score")
            row[0].set_ylabel("density")
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        figure.suptitle("Scores of the users' items in test and train, and of random other items")


def draw_map(
    path: Path,
    title: str,
    points: np.ndarray,
    kinds: tuple[str, Sequence[str] | np.ndarray],
    amount: tuple[str, str, np.ndarray],
    labels: Sequence[str] | np.ndarray = (),
) -> None:
    """`points` [n, 2] twice: coloured by kind, the seven most frequent ones, and by amount, on a log scale.

    kinds: a name, and a value per point. amount: a name, its unit, and a number per point, at least 1. labels: titles
    of the first points, of which those are written that fit. The longer side of the points is horizontal, and the
    frames are as high as the points need.
    """
    if np.ptp(points[:, 0]) < np.ptp(points[:, 1]):
        points = points[:, ::-1]
    centre, half = _frame(points)
    high = PANEL * half[1] / half[0]
    width, height = 2 * PANEL + 3 * GAP, BELOW + high + ABOVE
    with picture(path, width, height, fitted=False) as figure:
        left, right = (
            figure.add_axes((x / width, BELOW / height, PANEL / width, high / height)) for x in (GAP, PANEL + 2 * GAP)
        )
        _by_kind(left, points, *kinds)
        _by_amount(right, points, *amount)
        for axes in (left, right):
            axes.set(xticks=[], yticks=[])
            axes.set_xlim(centre[0] - half[0], centre[0] + half[0])
            axes.set_ylim(centre[1] - half[1], centre[1] + half[1])
            axes.spines[:].set(visible=True, color=GREY)
        figure.suptitle(title)
        figure.draw_without_rendering()
        for axes in (left, right):
            _label(axes, points, labels)


def shorten(text: str) -> str:
    """The text in one line of at most `LONGEST` characters that can be drawn."""
    start = "".join(letter if letter.isprintable() else " " for letter in text[: 10 * LONGEST])
    line = " ".join(start.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1].rstrip()}…"


def _frame(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre [2] and half the sides [2] of a frame around points [n, 2] that are at least as wide as high."""
    half = 0.54 * np.ptp(points, axis=0)
    width = half[0] or 1.0
    return (points.min(axis=0) + points.max(axis=0)) / 2, np.array([width, max(half[1], width / 2)])


def _by_kind(axes: Axes, points: np.ndarray, name: str, kinds: Sequence[str] | np.ndarray) -> None:
    """Scatter the points in the colours of the most frequent kinds, all others in grey, with a legend."""
    kinds = np.asarray(kinds, dtype=object)  # an array of str would give each as much room as the longest
    values, counts = np.unique(kinds, return_counts=True)
    frequent = sorted(values[np.argsort(-counts, kind="stable")][: len(COLOURS)])
    rest = ~np.isin(kinds, frequent)
    if rest.any():
        axes.scatter(points[rest, 0], points[rest, 1], s=8, color=GREY, linewidths=0, label="other")
    for value, colour in zip(frequent, COLOURS, strict=False):
        x, y = points[kinds == value].T
        axes.scatter(x, y, s=14, color=colour, linewidths=0, label=shorten(value))
    for columns in (4, 3, 2):
        legend = axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=columns, markerscale=2, fontsize=9)
        if legend.get_window_extent().width <= axes.bbox.width:
            break
    axes.set_title(f"by {shorten(name)}")


def _by_amount(axes: Axes, points: np.ndarray, name: str, unit: str, amount: np.ndarray) -> None:
    """Scatter the points in colours of a log scale, the largest amounts on top, with the scale below.

    Logarithms are rounded: their last bit, which differs between processors, would change the colour of a pixel.
    """
    order, level = np.argsort(amount, kind="stable"), np.log10(amount).round(DIGITS)
    x, y = points[order].T
    dots = axes.scatter(x, y, c=level[order], cmap="viridis", s=12, linewidths=0)
    high = axes.bbox.height / axes.figure.dpi  # inches
    scale = axes.inset_axes((0.05, -0.35 / high, 0.9, 0.2 / high))
    bar = axes.figure.colorbar(dots, cax=scale, orientation="horizontal", label=unit)
    powers = range(int(level.min()), int(level.max()) + 1)
    marks = [m for m in (k * 10**power for power in powers for k in (1, 2, 5)) if amount.min() <= m <= amount.max()]
    bar.set_ticks(np.log10(marks).round(DIGITS).tolist(), labels=[f"{mark:g}" for mark in marks])
    axes.set_title(f"by {name}")


def _label(axes: Axes, points: np.ndarray, labels: Sequence[str] | np.ndarray) -> None:
    """Write the labels of the first points, without those that would overlap another or leave the axes."""
    boxes: list[Bbox] = []
    frame = axes.get_window_extent()
    for point, text in zip(points, labels, strict=False):
        label = axes.annotate(shorten(text), point, (3, 3), textcoords="offset points", fontsize=7.5)
        label.set_bbox({"facecolor": "white", "alpha": 0.65, "linewidth": 0, "pad": 0.8})
        box = label.get_window_extent()
        inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
        if inside and not any(box.overlaps(other) for other in boxes):
            boxes.append(box)
        else:
            label.remove()
