"""Mend a dvc.lock that was torn: DVC writes it in place, and a kill in that moment leaves it cut off and DVC stuck.

Git's version is put back, or none if git has none. What ran since then DVC finds in its run cache.
"""

from pathlib import Path

from retrieval.errors import Problem
from retrieval.experiments.repository import call, command

import voluptuous
import yaml
from dvc.schema import COMPILED_LOCKFILE_SCHEMA

LOCK = Path("dvc.lock")


def main() -> None:
    """Do nothing to a dvc.lock that DVC can read."""
    if not LOCK.exists() or whole(LOCK.read_text(encoding="utf-8")):
        return
    try:
        committed = call("git", "show", f"HEAD:{LOCK}")
    except Problem:
        LOCK.unlink()
    else:
        LOCK.write_text(committed, encoding="utf-8")
    print(f"{LOCK}: was torn when a run was killed; git's is put back, and what ran since comes from the run cache")


def whole(text: str) -> bool:
    """Whether DVC can read the text as its lock file."""
    try:
        COMPILED_LOCKFILE_SCHEMA(yaml.load(text, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, voluptuous.Invalid):
        return False
    return True


if __name__ == "__main__":
    command(main)
