"""Repositories for tests with the real DVC: the project on a small planted world."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from dvc.utils.serialize import dump_yaml, load_yaml

ROOT = Path(__file__).parents[1]
RESULTS = ("metrics", "plots")

# The synthetic world has planted tastes. Sizes are such that a run takes seconds.
SMALL = {
    "data": "kion-synthetic",
    "history": "bag",
    "synthetic.scale": 0.001,
    "towers.width": 16,
    "towers.length": 50,
    "towers.dropout": 0.0,
    "train.epochs": 6,
    "train.batch": 256,
    "train.learning_rate": 0.01,
    "lightfm.components": 8,
    "lightfm.epochs": 2,
    "baselines.ials.factors": 8,
    "baselines.ials.iterations": 2,
    "evaluate.resamples": 50,
    "evaluate.points": 60,
}


def repository(root: Path, **params: Any) -> Path:
    """A git repository at `root` with the files of the work tree, without results, on the small world."""
    names = run(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard").stdout.splitlines()
    for name in names:
        if (ROOT / name).is_file() and not name.startswith((*RESULTS, "dvc.lock")):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    set_params(root, SMALL | params)
    run(root, "git", "init", "--quiet", "--initial-branch=main")
    commit(root, "Small world")
    return root


def set_params(root: Path, changes: dict[str, Any]) -> None:
    """Set keys of params.yaml, such as train.epochs; DVC reads and writes the file, as for `dvc exp run -S`."""
    params = load_yaml(root / "params.yaml")
    for key, value in changes.items():
        *sections, name = key.split(".")
        section = params
        for each in sections:
            section = section[each]
        section[name] = value
    dump_yaml(root / "params.yaml", params)


def commit(root: Path, message: str) -> None:
    """Commit the whole work tree."""
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--message", message)


def run(root: Path, *command: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run a command in `root` and return the process. Its exit code must be `code`, unless that is None."""
    process = subprocess.run(command, cwd=root, env=environment(root), capture_output=True, text=True, check=False)
    output = process.stdout + process.stderr
    assert code in (None, process.returncode), f"{command}: exit code {process.returncode}\n{output}"
    return process


def environment(root: Path) -> dict[str, str]:
    """The environment of the programs that tests run: one thread, an author for git, DVC's state beside `root`."""
    author = [f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]
    variables = dict.fromkeys(author, "test@example.com")
    variables |= {"OMP_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(root.parent / "site")}
    return os.environ | variables | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def dvc(root: Path, *arguments: str, code: int | None = 0) -> str:
    """Run DVC and return its stdout and stderr."""
    process = run(root, "dvc", *arguments, code=code)
    return process.stdout + process.stderr


def python(root: Path, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run Python with the library of the repository."""
    return run(root, "env", f"PYTHONPATH={root / 'src'}", "python", *arguments, code=code)


def stages_run(output: str) -> list[str]:
    """The stages that DVC ran, in order, without those from the run cache."""
    return re.findall(r"Running stage '(\w+)'", output)


def metrics(root: Path) -> dict[str, dict[str, float]]:
    """The content of metrics/metrics.json."""
    return json.loads((root / "metrics" / "metrics.json").read_text(encoding="utf-8"))


def files(root: Path, *folders: str) -> dict[str, bytes]:
    """Path -> bytes of all files under these folders."""
    paths = (file for folder in folders for file in sorted((root / folder).rglob("*")) if file.is_file())
    return {str(file.relative_to(root)): file.read_bytes() for file in paths}
