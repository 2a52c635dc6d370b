"""Draw the pictures of docs/results.md from the tables in docs/results/.

Run `python studies/draw_results.py` from the root of the repository; it takes seconds and reads nothing else.
"""

import csv
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

FOLDER = Path("docs/results")
BLUE, ORANGE, GREEN, PINK, VERMILION, GREY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#888888"
GROUPS = {"loss": BLUE, "body": GREEN, "history": VERMILION, "item": PINK, "score": ORANGE}
RING: dict[str, Any] = {
    "marker": "o",
    "linestyle": "",
    "markersize": 12,
    "markerfacecolor": "none",
    "markeredgecolor": "black",
}
SEEDS = 0.005  # the difference in MAP@10 that another seed makes
GRIDS = [
    ("itemknn", "neighbours", "ItemKNN: neighbours of an item"),
    ("userknn", "neighbours", "UserKNN: neighbours of a user"),
    ("userknn", "pool", "UserKNN: users searched, the most recent"),
    ("ease", "regularization", "EASE: regularization"),
    ("lightfm", "components", "LightFM: components (max_sampled=10)"),
    ("lightfm", "max_sampled", "LightFM: max_sampled (32 components)"),
]
DATA = {"movielens": ("MovieLens 100K, leave-last", BLUE), "movietweetings": ("MovieTweetings 100K, 7 days", VERMILION)}


def read(name: str) -> list[dict[str, str]]:
    """The rows of a table in FOLDER."""
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def draw_choices(rows: list[dict[str, str]], path: Path) -> None:
    """One dot per change from the defaults, grouped, with the difference from the defaults beside it."""
    default = next(float(row["map@10"]) for row in rows if row["group"] == "defaults")
    order = list(GROUPS)
    shown = sorted(
        (row for row in rows if row["group"] in GROUPS),
        key=lambda row: (order.index(row["group"]), -float(row["map@10"])),
    )
    figure, axis = plt.subplots(figsize=(9, 5.5), layout="constrained")
    axis.axvspan(default - SEEDS, default + SEEDS, color=GREY, alpha=0.25, lw=0, label="what another seed changes")
    axis.axvline(default, color=GREY, label=f"the defaults, {default:.4f}")
    for place, row in enumerate(shown):
        value = float(row["map@10"])
        axis.plot(value, place, "o", color=GROUPS[row["group"]], markersize=7)
        axis.annotate(f"{value - default:+.4f}", (0.1, place), va="center", ha="right", fontsize=9)
    axis.set_yticks(range(len(shown)), [row["setting"].replace(" ", "\n") for row in shown], fontsize=9)
    for label, row in zip(axis.get_yticklabels(), shown, strict=True):
        label.set_color(GROUPS[row["group"]])
    axis.invert_yaxis()
    axis.set(xlim=(0.04, 0.1005), xlabel="MAP@10 (right: difference from the defaults)", ylabel="one change")
    axis.set_title("What one change from the defaults does to MAP@10", fontweight="bold")
    figure.legend(frameon=False, loc="outside lower center", ncols=2)
    save(figure, path)


def draw_grid(axis: Axes, rows: list[dict[str, str]], parameter: str, title: str) -> None:
    """MAP@10 on both data sets over one parameter; a ring marks the default."""
    values = list(dict.fromkeys(row["value"] for row in rows))
    for name, (_, colour) in DATA.items():
        points = [(values.index(row["value"]), float(row[name]), row["default"]) for row in rows if row[name]]
        axis.plot([x for x, _, _ in points], [y for _, y, _ in points], "o-", color=colour, lw=1, markersize=5)
        for x, y, default in points:
            if default:
                axis.plot(x, y, **RING)
    axis.set_xticks(range(len(values)), values)
    axis.margins(x=0.08)
    axis.set(xlabel=parameter, ylabel="MAP@10", ylim=(0.02, 0.07))
    axis.set_title(title, fontsize=10, fontweight="bold")


def draw_ials(axis: Axes, rows: list[dict[str, str]]) -> None:
    """MAP@10 on MovieLens over the number of factors, a line per alpha, regularization 10."""
    factors = sorted({int(row["factors"]) for row in rows})
    lines = [("1", "30", BLUE, "o-"), ("1", "15", BLUE, "o--"), ("5", "15", GREEN, "s--"), ("20", "15", PINK, "^--")]
    for alpha, iterations, colour, style in lines:
        wanted = {"alpha": alpha, "iterations": iterations, "regularization": "10"}
        chosen = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
        places = [factors.index(int(row["factors"])) for row in chosen]
        label = f"alpha {alpha}, {iterations} iterations"
        axis.plot(places, [float(row["movielens"]) for row in chosen], style, color=colour, lw=1, ms=5, label=label)
    default = next(row for row in rows if row["default"])
    axis.plot(factors.index(int(default["factors"])), float(default["movielens"]), **RING)
    axis.set_xticks(range(len(factors)), [str(one) for one in factors])
    axis.set(xlabel="factors", ylabel="MAP@10", ylim=(0.02, 0.07))
    axis.set_title("iALS on MovieLens: factors (regularization 10)", fontsize=10, fontweight="bold")
    axis.legend(frameon=False, fontsize=8, loc="lower right")


def draw_baselines(rows: list[dict[str, str]], ials: list[dict[str, str]], path: Path) -> None:
    """A panel per tuned parameter."""
    figure, axes = plt.subplots(4, 2, figsize=(10, 11), layout="constrained")
    panels = axes.ravel()
    for axis, (model, parameter, title) in zip(panels, GRIDS, strict=False):
        chosen = [row for row in rows if row["model"] == model and row["parameter"] == parameter]
        if parameter == "max_sampled":
            chosen = [row for row in chosen if row["other settings"] == "components=32 epochs=20"]
        draw_grid(axis, chosen, parameter, title)
    draw_ials(panels[len(GRIDS)], ials)
    last = panels[len(GRIDS) + 1]
    last.axis("off")
    for label, colour in DATA.values():
        last.plot([], [], "o-", color=colour, label=label)
    last.plot([], [], label="the default", **RING)
    last.legend(frameon=False, loc="center", fontsize=11)
    figure.suptitle("MAP@10 of the baselines while tuning: mean of folds 1 to 3, seed 42", fontweight="bold")
    save(figure, path)


def save(figure: plt.Figure, path: Path) -> None:
    """Without the top and right spines, and without the version of matplotlib in the file."""
    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    matplotlib.use("Agg")
    draw_choices(read("choices.csv"), FOLDER / "choices.png")
    draw_baselines(read("baselines.csv"), read("ials.csv"), FOLDER / "baselines.png")


if __name__ == "__main__":
    main()
