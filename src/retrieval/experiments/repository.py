"""DVC and git as the commands call them, and a throw-away clone to run in."""

import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retrieval.errors import Problem

FOOTER = "Having any troubles?"  # how DVC ends an error
METRICS, PARAMS = "metrics/metrics.json", "params.yaml"


def call(*command: str, root: Path | None = None, quiet: bool = True) -> str:
    """What the command prints, in the repository at `root`, or here; `Problem` with its last line if it fails.

    Where it is not `quiet`, it prints to the terminal and nothing is returned.
    """
    done = subprocess.run(command, cwd=root, text=True, capture_output=quiet, check=False)
    if done.returncode:
        lines = [line for line in (done.stderr or "").splitlines() if line.strip() and FOOTER not in line]
        raise Problem(f"{shlex.join(command)}: {lines[-1] if lines else f'exit code {done.returncode}'}")
    return done.stdout or ""


def dvc_json(*arguments: str, root: Path | None = None) -> Any:
    """What a DVC command says with --json."""
    return json.loads(call("dvc", *arguments, "--json", root=root))


def changed_params(*revisions: str) -> dict[str, tuple[Any, Any]]:
    """Parameter -> its values in two revisions, or in one and in the work tree, where they differ."""
    changes = dvc_json("params", "diff", *revisions).get(PARAMS, {})
    return {name: (each.get("old"), each.get("new")) for name, each in changes.items()}


def flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """{section: {name: value}} as {"section.name": value}."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{above}{name}.") if isinstance(value, dict) else {f"{above}{name}": value}
    return found


@contextmanager
def clone(revision: str) -> Iterator[Path]:
    """A temporary clone of this repository at a revision, with DVC's cache of its own: nothing is reused."""
    commit = call("git", "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").strip()
    with tempfile.TemporaryDirectory(prefix="retrieval-") as folder:
        root = Path(folder) / "clone"
        call("git", "clone", "--quiet", "--no-checkout", os.fspath(Path.cwd()), os.fspath(root))
        call("git", "checkout", "--quiet", "--detach", commit, root=root)
        yield root


def command(main: Callable[[], None]) -> None:
    """Run a command's main: a `Problem` ends in one line and exit code 1, Ctrl-C in one and exit code 130."""
    try:
        main()
    except Problem as problem:
        raise SystemExit(str(problem)) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
