"""Run a revision's pipeline again from nothing, in a temporary clone, and compare with what is committed.

Every output is equal, within the tolerance (numbers of metrics and plots; another processor or another number of
threads changes the last bits of a sum), or different. Weights have no tolerance: whether they matter the metrics say.
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

CARD = ".run.json"  # run cards tell the time: they always differ


def main() -> None:
    """Print a line an output that is not equal, and the verdict; exit code 1 if metrics or series are different."""
    parser = argparse.ArgumentParser(prog="verify", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("revision", nargs="?", default="HEAD", help="what to run again (default: HEAD)")
    parser.add_argument(
        "--tolerance", type=float, default=0.02, help="relative, and in units of a metric (default: 0.02)"
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
        if worst > options.tolerance:
            verdict = "different"
            print(f"different            {name}: {where}")
        elif worst:
            verdict = "equal within the tolerance" if verdict != "different" else verdict
            print(f"within the tolerance {name}: at most {worst:.2g}, {where}")
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
    """The largest difference |old - new| / max(1, |old|), and where it is; infinite where the structure differs."""
    worst, where = 0.0, ""
    for path, a, b in _pairs(old, new, ""):
        numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (a, b))
        gap = (0.0 if a == b else math.inf) if not numbers else abs(a - b) / max(1.0, abs(a))
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


def _short(each: Any) -> str:
    text = json.dumps(each)
    return text if len(text) <= 40 else f"{text[:37]}..."


if __name__ == "__main__":
    command(main)
