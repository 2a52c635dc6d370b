"""A folder of one's own with CSV files of the KION schema. It is only ever read."""

import shutil
from pathlib import Path

from retrieval.errors import Problem
from retrieval.preparation.tables import read_interactions, read_items, read_users

READERS = {"interactions.csv": read_interactions, "items.csv": read_items, "users.csv": read_users}


def check(folder: Path) -> None:
    """Raise `Problem` if the folder holds no interactions."""
    if not (folder / "interactions.csv").exists():
        raise Problem(
            f"{folder / 'interactions.csv'}: no such file; data=folder expects interactions.csv and items.csv "
            "of the KION schema there: name your folder with folder=PATH"
        )


def fetch(folder: Path, out: Path) -> dict[str, int]:
    """Read the files of `folder` and copy them; users.csv may be absent. Returns the rows of each.

    Needed are user_id, item_id, last_watch_dt and watched_pct of interactions.csv, item_id of items.csv and user_id of
    users.csv; other columns are as welcome as absent. Copies, not links: DVC makes files in its cache read-only.
    """
    check(folder)
    rows = {}
    for name, read in READERS.items():
        if name != "users.csv" or (folder / name).exists():
            rows[name] = len(read(folder / name))
            shutil.copyfile(folder / name, out / name)
    return rows
