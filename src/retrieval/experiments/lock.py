"""Mend what a kill has torn: DVC writes two files in place, and one that is cut off leaves it stuck.

dvc.lock: git's version is put back, or none if git has none. What ran since then DVC finds in its run cache.
.dvc/tmp/rwlock, which process reads and writes what: it is taken away, for the process that wrote it is dead.
"""

import json
import os
from pathlib import Path

from retrieval.errors import Problem
from retrieval.experiments.repository import call, command

import voluptuous
import yaml
from dvc.lock import LockError, make_lock
from dvc.rwlock import SCHEMA
from dvc.schema import COMPILED_LOCKFILE_SCHEMA

LOCK = Path("dvc.lock")
RUNNING = Path(".dvc/tmp/rwlock")


def main() -> None:
    """Do nothing to files that DVC can read."""
    mend_lock()
    mend_running()


def mend_lock() -> None:
    """Put git's dvc.lock in the place of one that is torn."""
    if not LOCK.exists() or whole(LOCK.read_text(encoding="utf-8")):
        return
    try:
        committed = call("git", "show", f"HEAD:{LOCK}")
    except Problem:
        LOCK.unlink()
    else:
        LOCK.write_text(committed, encoding="utf-8")
    print(f"{LOCK}: was torn when a run was killed; git's is put back, and what ran since comes from the run cache")


def mend_running() -> None:
    """Take a torn rwlock away, while no other process of DVC writes it."""
    if not RUNNING.exists():
        return
    try:
        with make_lock(os.fspath(RUNNING.with_suffix(".lock")), tmp_dir=os.fspath(RUNNING.parent)):
            try:
                SCHEMA(json.loads(RUNNING.read_text(encoding="utf-8")))
            except (ValueError, voluptuous.Invalid):
                RUNNING.unlink()
                print(f"{RUNNING}: was torn when a run was killed; it is taken away")
    except LockError as error:
        raise Problem(f"{RUNNING}: another DVC is at work: {error}") from None


def whole(text: str) -> bool:
    """Whether DVC can read the text as its lock file."""
    try:
        COMPILED_LOCKFILE_SCHEMA(yaml.load(text, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, voluptuous.Invalid):
        return False
    return True


if __name__ == "__main__":
    command(main)
