"""Which version of the project runs."""

import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]


def about(revision: str) -> dict[str, str | None]:
    """The project's version, and `revision` or else that of the work tree; None where unknown, as outside of git."""
    try:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    except (OSError, ValueError, KeyError):
        project = None
    return {"version": project, "revision": revision or _head()}


def _head() -> str | None:
    if not (ROOT / ".git").exists():  # else git would look in the folders above
        return None
    try:
        run = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()
