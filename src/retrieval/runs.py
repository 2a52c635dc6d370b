"""Run cards: what made a model. Git revision, parameters, data, packages, threads, processor, seconds, losses.

A card describes the last run of its stage in this work tree. It lies beside the model but is not an output of DVC: it
differs from run to run and from machine to machine, while the model, the metrics and dvc.lock do not.
"""

import functools
import hashlib
import inspect
import json
import platform
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from retrieval.params import Section
from retrieval.stage import sha256, write_json

from threadpoolctl import threadpool_info

INPUTS = ("src", "dvc.yaml", "params.yaml", "requirements.txt")


def recorded(main: Callable[..., None]) -> Callable[..., None]:
    """Decorator of a stage's `main(params, data, *paths)`: adds a last path, where the run card is written."""

    @functools.wraps(main)
    def timed(params: Section, data: Path, *rest: Path) -> None:
        *paths, card = rest
        start = time.perf_counter()
        main(params, data, *paths)
        write_json(card, describe(params, data, time.perf_counter() - start) | _training(paths[-1]))

    signature = inspect.signature(main)
    place = inspect.Parameter("card", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Path)
    timed.__signature__ = signature.replace(parameters=[*signature.parameters.values(), place])  # type: ignore[attr-defined]
    return timed


def describe(params: Section, data: Path, seconds: float) -> dict[str, Any]:
    """The card of a run that read the folder `data`. `changed` lists tracked inputs that differ from the revision."""
    status = _git("status", "--porcelain", "--untracked-files=no", "--", *INPUTS)
    return {
        "git": {"revision": _git("rev-parse", "HEAD"), "changed": [line.split()[-1] for line in status.splitlines()]},
        "params": params.model_dump(),
        "data": {str(data): digest(data)},
        "python": platform.python_version(),
        "packages": {each.name: each.version for each in sorted(distributions(), key=lambda each: each.name.lower())},
        "libraries": {Path(each["filepath"]).name: each["num_threads"] for each in threadpool_info()},
        **machine(),
        "seconds": round(seconds, 2),
    }


def _training(model: Path) -> dict[str, Any]:
    """What a model's folder says of its training: the losses of the epochs, and warnings."""
    found = {}
    for file, key in (("history.json", None), ("card.json", "warnings")):
        if (model / file).exists():
            value = json.loads((model / file).read_text(encoding="utf-8"))
            found[key or "history"] = value.get(key, []) if key else value
    return found


def digest(path: Path) -> str:
    """The hash of a folder: of the names and hashes of its files, in order."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    lines = [f"{file.relative_to(path).as_posix()} {sha256(file)}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _git(*arguments: str) -> str:
    """The output of git; empty without git or a repository."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.rstrip("\n")
    except (OSError, subprocess.CalledProcessError):
        return ""


def machine() -> dict[str, Any]:
    """What decides the last bits of a sum of floats: processor and number of threads."""
    return {"cpu": _cpu(), "threads": max((each["num_threads"] for each in threadpool_info()), default=1)}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
