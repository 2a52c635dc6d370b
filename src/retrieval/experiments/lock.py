"""Repair the two files that DVC may leave truncated when it is killed, and without which it cannot start.

dvc.lock is restored from git, or deleted if git has none; DVC finds later runs in its run cache.
.dvc/tmp/rwlock, which lists the paths that running processes use, is deleted: its process is dead.
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
RWLOCK = Path(".dvc/tmp/rwlock")


def main() -> None:
    """Repair both files, unless DVC can read them."""
    repair_lock()
    repair_rwlock()


def repair_lock() -> None:
    """Restore dvc.lock from git if it is invalid."""
    if not LOCK.exists() or is_lock(LOCK.read_text(encoding="utf-8")):
        return
    try:
        LOCK.write_text(call("git", "show", f"HEAD:{LOCK}"), encoding="utf-8")
        repair = "restored from git"
    except Problem:
        LOCK.unlink()
        repair = "deleted, as git has none"
    print(f"{LOCK}: was truncated when a run was killed; {repair}, later runs come from the run cache")


def repair_rwlock() -> None:
    """Delete an invalid rwlock, unless another DVC process is writing it."""
    if not RWLOCK.exists():
        return
    try:
        with make_lock(os.fspath(RWLOCK.with_suffix(".lock")), tmp_dir=os.fspath(RWLOCK.parent)):
            try:
                SCHEMA(json.loads(RWLOCK.read_text(encoding="utf-8")))
            except (ValueError, voluptuous.Invalid):
                RWLOCK.unlink()
                print(f"{RWLOCK}: was truncated when a run was killed; deleted")
    except LockError as error:
        raise Problem(f"{RWLOCK}: another DVC process is running: {error}") from None


def is_lock(text: str) -> bool:
    """Whether DVC can read the text as its lock file."""
    try:
        COMPILED_LOCKFILE_SCHEMA(yaml.load(text, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, voluptuous.Invalid):
        return False
    return True


if __name__ == "__main__":
    command(main)
