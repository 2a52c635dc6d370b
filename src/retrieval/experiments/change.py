"""The difference between two revisions, as DVC reports it: metrics, parameters, plots and pictures."""

import json
import math
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.errors import Problem
from retrieval.experiments.repository import METRICS, WORKSPACE, call, changed_params, dvc_json
from retrieval.experiments.rows import FOLD, RAW, chooses_test
from retrieval.experiments.verify import outputs

MACHINES, INTERVALS = Path("metrics/machines.json"), Path("metrics/intervals.json")
Machines = dict[str, dict[str, Any]]
Metrics = dict[str, dict[str, float]]
Noise = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Plot:
    """A plot of dvc.yaml; `x` and `y` are the labels. `lines[field][revision]` are the points (xs, ys) of a line."""

    name: str
    title: str
    x: str
    y: str
    lines: dict[str, dict[str, tuple[list[float], list[float]]]]

    @property
    def differs(self) -> bool:
        """Whether a line differs between the revisions."""
        return any(len({repr(points) for points in each.values()}) > 1 for each in self.lines.values())


@dataclass(frozen=True)
class Change:
    """The difference between the revisions `base` and `head`.

    metrics: model -> metric -> (base, head), also where they are equal; params: name -> (base, head), only where they
    differ; pictures: file -> revision -> bytes; notes: what limits the comparison, one sentence each; noise: model ->
    metric -> half the width of the 95 % interval of its change, empty if the two do not compare.
    """

    base: str
    head: str
    metrics: dict[str, dict[str, tuple[float | None, float | None]]]
    params: dict[str, tuple[Any, Any]]
    plots: list[Plot]
    pictures: dict[str, dict[str, bytes]]
    notes: list[str]
    noise: Noise


def compare(base: str, head: str | None) -> Change:
    """Compare two revisions, or one with the work tree, by DVC. Raises `Problem` for an unknown revision."""
    revisions = [base, *([head] if head else [])]
    params = changed_params(*revisions)
    with tempfile.TemporaryDirectory() as folder:
        plots = dvc_json("plots", "diff", *revisions, "--split", "--out", folder)["data"]
        head = head or WORKSPACE
        pictures = {
            name: {each["revisions"][0]: Path(each["url"]).read_bytes() for each in parts}
            for name, parts in plots.items()
            if parts and parts[0]["type"] == "image"
        }
    series = [_plot(name, parts[0]) for name, parts in plots.items() if parts and parts[0]["type"] == "vega"]
    metrics = pairs(_read(Path(METRICS), base), _read(Path(METRICS), head))
    remarks = notes(_read(MACHINES, base), _read(MACHINES, head), base, head)
    if reasons := other_data(_raw(base), _raw(head), params):
        remarks.insert(0, f"{base} and {head} do not compare: their data differ ({', '.join(reasons)}).")
    wide = {} if reasons else noise(_read(INTERVALS, base), _read(INTERVALS, head))
    return Change(base, head, metrics, params, series, pictures, remarks, wide)


def other_data(old: str | None, new: str | None, params: Collection[str]) -> list[str]:
    """Why two revisions have not the same test: data/raw, of the hashes `old` and `new`, and `params` that differ."""
    raw = [RAW] if old and new and old != new else []
    return [*raw, *sorted(name for name in params if name == FOLD or chooses_test(name))]


def pairs(old: Metrics, new: Metrics) -> dict[str, dict[str, tuple[float | None, float | None]]]:
    """model -> metric -> (old, new), None where one of them has none."""
    return {
        model: {
            metric: (old.get(model, {}).get(metric), new.get(model, {}).get(metric))
            for metric in {**old.get(model, {}), **new.get(model, {})}
        }
        for model in sorted({*old, *new})
    }


def noise(old: dict[str, Any], new: dict[str, Any]) -> Noise:
    """Half the width of the 95 % interval of each change, as if the two sides had different users.

    `old` and `new` are metrics/intervals.json of the two revisions. The variances of the means add up. For the same
    users, whose values are alike, the interval is narrower; it needs the values of each user, which git does not have.
    """
    before, after = old.get("means", {}), new.get("means", {})
    return {
        model: {
            name: math.hypot(*((side[name]["high"] - side[name]["low"]) / 2 for side in (before[model], after[model])))
            for name in before[model].keys() & after[model].keys()
        }
        for model in before.keys() & after.keys()
    }


def notes(old: Machines, new: Machines, base: str, head: str) -> list[str]:
    """One sentence for each model that was trained on another machine, or in another precision, on the two sides.

    `old` and `new` are metrics/machines.json of the two revisions: model -> precision, cpu and threads of its training,
    without the models that are the same on every machine.
    """
    return [
        f"{model}: trained in {_describe(old.get(model))} ({base}) and in {_describe(new.get(model))} ({head}); "
        "part of the difference may come from the machines, as from another seed."
        for model in sorted({*old, *new})
        if old.get(model) != new.get(model)
    ]


def _describe(machine: dict[str, Any] | None) -> str:
    if machine is None:
        return "float64, the same on every machine"
    return f"{machine['precision']} on {machine['cpu']} with {machine['threads']} threads"


def _read(path: Path, revision: str) -> dict[str, Any]:
    """A JSON file of a revision, or of the work tree; empty where there is none, as in older revisions."""
    with _file(path, revision) as file:
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _raw(revision: str) -> str | None:
    """The hash of data/raw in dvc.lock of a revision, or of the work tree; None where there is none."""
    with _file(Path("dvc.lock"), revision) as file:
        return outputs(file.parent).get(RAW)


@contextmanager
def _file(path: Path, revision: str) -> Iterator[Path]:
    """Where a file of a revision, or of the work tree, can be read; it does not exist where the revision has none."""
    if revision == WORKSPACE:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / path.name
        with suppress(Problem):
            call("dvc", "get", ".", str(path), "--rev", revision, "--out", str(file))
        yield file


def _plot(name: str, part: dict[str, Any]) -> Plot:
    anchors = part["anchor_definitions"]
    encoding = _encoding(part["content"])
    x, y = (encoding[axis]["field"] for axis in ("x", "y"))
    lines: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for row in anchors["<DVC_METRIC_DATA>"]:
        xs, ys = lines.setdefault(row.get("field", y), {}).setdefault(row["rev"], ([], []))
        xs.append(row[x])
        ys.append(row[y])
    title, x_label, y_label = (anchors[f"<DVC_METRIC_{key}>"] for key in ("TITLE", "X_LABEL", "Y_LABEL"))
    return Plot(name, title, x_label, y_label, lines)


def _encoding(content: Any) -> dict[str, Any]:
    """The first Vega-Lite encoding of x and y, at any depth of the template; empty if there is none."""
    if isinstance(content, dict):
        encoding = content.get("encoding", {})
        if "field" in encoding.get("x", {}) and "field" in encoding.get("y", {}):
            return encoding
        content = list(content.values())
    if isinstance(content, list):
        return next((encoding for each in content if (encoding := _encoding(each))), {})
    return {}
