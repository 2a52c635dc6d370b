"""Run a revision's pipeline again from nothing, in a temporary clone, and compare with what is committed.

Another processor or another number of threads changes the last bits of a sum, and training makes of that what another
seed would. So what is not equal in bytes is judged by the means over all users: each within the tolerance, as a share
of the largest number of the same name in its file, or different. What is of fewer users, or a curve, is only told.
"""

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retrieval.errors import Problem
from retrieval.experiments.repository import call, clone, command

import yaml

MEANS = ("metrics/metrics.json", "metrics/settings.json", "metrics/beyond.json")
CARD = ".run.json"  # run cards tell the time: they always differ


def main() -> None:
    """Print a line an output that is not equal, and the verdict; exit code 1 if it is "different"."""
    parser = argparse.ArgumentParser(prog="verify", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("revision", nargs="?", default="HEAD", help="what to run again (default: HEAD)")
    parser.add_argument(
        "--tolerance", type=float, default=0.1, help="share of the largest value of the same name (default: 0.1)"
    )
    options = parser.parse_args()
    with clone(options.revision) as root:
        before, results = outputs(root), series(root)
        if not before:
            raise Problem(f"{options.revision}: holds no dvc.lock to compare with; run `dvc repro` and commit it")
        call("dvc", "repro", "--force", root=root, quiet=False)
        after, again = outputs(root), series(root)
    weights = sorted(name for name in before if before[name] != after.get(name) and name not in results)
    for name in weights:
        print(f"different bytes      {name}")
    verdict = "equal" if before == after else "equal metrics and plots"
    for name, old in sorted(results.items()):
        worst, where = farthest(old, again.get(name))
        if worst > options.tolerance and (name in MEANS or worst == math.inf):
            verdict = "different"
            print(f"different            {name}: {where}")
        elif worst:
            verdict = "equal within the tolerance" if verdict != "different" else verdict
            kind = "within the tolerance" if worst <= options.tolerance else "of few or a curve"
            print(f"{kind:20} {name}: at most {worst:.2g}, {where}")
    print(f"{options.revision}: {verdict} ({len(before)} outputs)")
    if verdict == "different":
        raise SystemExit(1)


def outputs(root: Path) -> dict[str, str]:
    """The hash of every output of dvc.lock, but for run cards."""
    lock = root / "dvc.lock"
    stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"] if lock.exists() else {}
    outs = (out for stage in stages.values() for out in stage.get("outs", []))
    return {out["path"]: out["md5"] for out in outs if not out["path"].endswith(CARD)}


def series(root: Path) -> dict[str, Any]:
    """What the JSON files of metrics and plots hold."""
    found = (file for folder in ("metrics", "plots") for file in sorted((root / folder).rglob("*.json")))
    return {str(file.relative_to(root)): json.loads(file.read_text(encoding="utf-8")) for file in found}


def farthest(old: Any, new: Any) -> tuple[float, str]:
    """The largest difference, as a share of the largest |old| of the same name, and where it is.

    Infinite where the structure differs, or a text, or a number whose likes were all 0.
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
    """The leaves of both, and whatever has not the same keys or length."""
    if isinstance(old, dict) and isinstance(new, dict) and set(old) == set(new):
        for key in old:
            yield from _pairs(old[key], new[key], f"{path}.{key}".removeprefix("."))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from _pairs(a, b, f"{path}[{place}]")
    else:
        yield path, old, new


def _is_number(each: Any) -> bool:
    return isinstance(each, int | float) and not isinstance(each, bool)


def _name(path: str) -> str:
    """What a number is called, wherever it stands: "map@10" of "dssm.map@10", "x" of "rows[3].x"."""
    return path.rsplit(".", 1)[-1].split("[")[0]


def _short(each: Any) -> str:
    text = json.dumps(each)
    return text if len(text) <= 40 else f"{text[:37]}..."


if __name__ == "__main__":
    command(main)
