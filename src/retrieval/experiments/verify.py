"""Run the pipeline of a revision from scratch in a temporary clone and compare the results with those committed.

"equal" means that every output has the bytes that dvc.lock names. A training in float32 ends in other bytes on another
processor or with another number of threads. Its outputs are judged by the metrics over all users: no difference may be
larger than the tolerance, a share of the largest value of the same metric in its file. Differences of metrics over
fewer users, and of curves, are printed but not judged.
"""

import argparse
import json
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from retrieval.errors import Problem
from retrieval.experiments.arguments import number
from retrieval.experiments.repository import call, clone, command

import yaml

OVERALL = ("metrics/metrics.json", "metrics/by_k.json", "metrics/settings.json", "metrics/beyond.json")


def main() -> None:
    """Print one line per output that differs, and the verdict; the exit code is 1 if it is "different"."""
    parser = argparse.ArgumentParser(prog="verify", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("revision", nargs="?", default="HEAD", help="revision to run (default: HEAD)")
    parser.add_argument(
        "--tolerance",
        type=partial(number, float, "--tolerance", 0.0),
        default=0.1,
        help="largest difference, as a share of the largest value of the metric (default: 0.1)",
    )
    options = parser.parse_args()
    with clone(options.revision) as root:
        before, results = outputs(root), metrics_and_plots(root)
        if not before:
            raise Problem(f"{options.revision}: has no dvc.lock to compare with; run `dvc repro` and commit it")
        call("dvc", "repro", "--force", root=root, quiet=False)
        verdict, lines = judge(before, outputs(root), results, metrics_and_plots(root), options.tolerance)
    print(*lines, f"{options.revision}: {verdict} ({len(before)} outputs)", sep="\n")
    if verdict == "different":
        raise SystemExit(1)


def judge(
    before: dict[str, str], after: dict[str, str], old: dict[str, Any], new: dict[str, Any], tolerance: float
) -> tuple[str, list[str]]:
    """The verdict, and one line per output that differs.

    `before` and `after` are `outputs`, `old` and `new` are `metrics_and_plots`, of the revision and of the new run.
    """
    others = sorted(name for name in before if before[name] != after.get(name) and name not in old)
    lines = [f"different bytes      {name}" for name in others]
    verdict = "equal" if before == after else "equal metrics and plots"
    for name, values in sorted(old.items()):
        worst, where = largest_difference(values, new.get(name))
        if worst > tolerance and (name in OVERALL or worst == math.inf):
            verdict = "different"
            lines.append(f"different            {name}: {where}")
        elif worst:
            verdict = "equal within the tolerance" if verdict != "different" else verdict
            kind = "within the tolerance" if worst <= tolerance else "not judged"
            lines.append(f"{kind:20} {name}: at most {worst:.2g}, {where}")
    return verdict, lines


def outputs(root: Path) -> dict[str, str]:
    """Path -> hash of every output in dvc.lock."""
    lock = root / "dvc.lock"
    stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"] if lock.exists() else {}
    outs = (out for stage in stages.values() for out in stage.get("outs", []))
    return {out["path"]: out["md5"] for out in outs}


def metrics_and_plots(root: Path) -> dict[str, Any]:
    """Path -> content of the JSON files of metrics and plots."""
    files = (file for folder in ("metrics", "plots") for file in sorted((root / folder).rglob("*.json")))
    return {str(file.relative_to(root)): json.loads(file.read_text(encoding="utf-8")) for file in files}


def largest_difference(old: Any, new: Any) -> tuple[float, str]:
    """The largest difference, as a share of the largest |old| of the same name, and where it is.

    It is infinite if the structure or a text differs, or a number of a name whose old values were all 0.
    """
    pairs, largest = list(_pairs(old, new, "")), dict[str, float]()
    for path, a, _ in pairs:
        if _is_number(a):
            largest[_name(path)] = max(largest.get(_name(path), 0.0), abs(a))
    worst, where = 0.0, ""
    for path, a, b in pairs:
        comparable = _is_number(a) and _is_number(b) and largest[_name(path)] > 0
        gap = 0.0 if a == b else abs(a - b) / largest[_name(path)] if comparable else math.inf
        if gap > worst:
            worst, where = gap, f"{path or 'the file'} was {_short(a)} and is {_short(b)}"
    return worst, where


def _pairs(old: Any, new: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Path, old and new value of all leaves, and of the nodes whose keys or length differ."""
    if isinstance(old, dict) and isinstance(new, dict) and set(old) == set(new):
        for key in old:
            yield from _pairs(old[key], new[key], f"{path}.{key}".removeprefix("."))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from _pairs(a, b, f"{path}[{i}]")
    else:
        yield path, old, new


def _is_number(each: Any) -> bool:
    return isinstance(each, int | float) and not isinstance(each, bool)


def _name(path: str) -> str:
    """The last key of a path: "map@10" of "dssm.map@10", "x" of "rows[3].x"."""
    return path.rsplit(".", 1)[-1].split("[")[0]


def _short(each: Any) -> str:
    text = json.dumps(each)
    return text if len(text) <= 40 else f"{text[:37]}..."


if __name__ == "__main__":
    command(main)
