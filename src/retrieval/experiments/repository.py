"""Calls to git and DVC, and temporary clones to run in."""

import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.errors import Problem, choices

FOOTER = "Having any troubles?"  # the last line of DVC's errors
METRICS, PARAMS, WORKSPACE = "metrics/metrics.json", "params.yaml", "workspace"


def call(*command: str, root: Path | None = None, quiet: bool = True, env: Mapping[str, str] | None = None) -> str:
    """Run a command in the folder `root` (default: here) and return its stdout. `env` adds environment variables.

    Without `quiet` it prints to the terminal and the result is empty. Raises `Problem` with the last line of stderr if
    the command fails.
    """
    done = subprocess.run(command, cwd=root, env=os.environ | (env or {}), text=True, capture_output=quiet, check=False)
    if done.returncode:
        lines = [line for line in (done.stderr or "").splitlines() if line.strip() and FOOTER not in line]
        raise Problem(f"{shlex.join(command)}: {lines[-1] if lines else f'exit code {done.returncode}'}")
    return done.stdout or ""


def dvc_json(*arguments: str, root: Path | None = None) -> Any:
    """The JSON output of a DVC command."""
    return json.loads(call("dvc", *arguments, "--json", root=root))


def experiments(*arguments: str) -> list[dict[str, Any]]:
    """The output of `dvc exp show --json` with metrics.json, whose metrics are too many for DVC's own table."""
    revisions = dvc_json("exp", "show", *arguments)
    children = (state for each in revisions for child in each["experiments"] or [] for state in child["revs"] or [])
    for state in (*revisions, *children):
        if state.get("data"):
            state["data"]["metrics"][METRICS] = {"data": committed(state["rev"], METRICS)}
    return revisions


def committed(revision: str, path: str) -> Any:
    """The content of a JSON file at a commit, or in the work tree (`workspace`); None if there is no such file."""
    try:
        if revision == WORKSPACE:
            return json.loads(Path(path).read_text(encoding="utf-8"))
        return json.loads(call("git", "show", f"{revision}:./{path}"))
    except (Problem, OSError, ValueError):
        return None


def changed_params(*revisions: str) -> dict[str, tuple[Any, Any]]:
    """Parameter -> (old, new), for those that differ between two revisions, or between one and the work tree."""
    changes = dvc_json("params", "diff", *revisions).get(PARAMS, {})
    return {name: (each.get("old"), each.get("new")) for name, each in changes.items()}


def flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """{section: {name: value}} as {"section.name": value}."""
    items: dict[str, Any] = {}
    for name, value in values.items():
        items |= flat(value, f"{above}{name}.") if isinstance(value, dict) else {f"{above}{name}": value}
    return items


def is_in(name: str, sections: Iterable[str]) -> bool:
    """Whether a parameter is one of the `sections`, or in one of them."""
    return any(f"{name}.".startswith(f"{section}.") for section in sections)


def first_map(names: Iterable[str]) -> str:
    """The metric that choices are made by: MAP, of the shortest lists."""
    names = sorted(names, key=lambda name: (not name.startswith("map@"), len(name), name))
    return names[0]


@dataclass(frozen=True)
class Snapshot:
    """What experiments start from: a commit, under which DVC lists them, and the tree of the files."""

    commit: str
    tree: str

    def digest(self, path: str) -> str:
        """The hash of a file or folder of the tree."""
        return call("git", "rev-parse", "--verify", f"{self.tree}:{path}").strip()

    def read(self, path: str) -> str:
        """The text of a file of the tree."""
        return call("git", "show", f"{self.tree}:{path}")


def work_tree() -> Snapshot:
    """The last commit with the work tree as it is: tracked files, and those that git does not ignore."""
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": os.fspath(Path(folder) / "index")}
        call("git", "read-tree", "HEAD", env=index)
        call("git", "add", "--all", env=index)
        return Snapshot(call("git", "rev-parse", "HEAD").strip(), call("git", "write-tree", env=index).strip())


@contextmanager
def clone(revision: str) -> Iterator[Path]:
    """A temporary clone of this repository at a revision, with an empty DVC cache: everything runs anew."""
    commit = _commit(revision)
    with tempfile.TemporaryDirectory(prefix="retrieval-") as folder:
        root = Path(folder) / "clone"
        call("git", "clone", "--quiet", "--no-checkout", os.fspath(Path.cwd()), os.fspath(root))
        call("git", "checkout", "--quiet", "--detach", commit, root=root)
        yield root


def _commit(revision: str) -> str:
    """The hash of the commit that a revision names. Raises `Problem` if there is none."""
    try:
        return call("git", "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").strip()
    except Problem:
        names = call("git", "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags").split()
        reason = f"no such commit, branch or tag; {choices(revision, ['HEAD', *names])}"
        raise Problem(f"{revision}: {reason}") from None


def command(main: Callable[[], None]) -> None:
    """Run the main function of a command. A `Problem` is printed as one line (exit code 1); Ctrl-C is exit code 130."""
    try:
        main()
    except Problem as problem:
        raise SystemExit(str(problem)) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
