"""A folder with the user's own CSV files in the KION schema. It is only read."""

import shutil
from pathlib import Path

from retrieval.errors import Problem
from retrieval.preparation.tables import read_interactions, read_items, read_users

READERS = {"interactions.csv": read_interactions, "items.csv": read_items, "users.csv": read_users}


def check(folder: Path) -> None:
    """Raise `Problem` if the folder has no interactions.csv."""
    if not (folder / "interactions.csv").exists():
        raise Problem(
            f"{folder / 'interactions.csv'}: no such file; data=folder expects interactions.csv and items.csv "
            "in the KION schema: set folder=PATH to the folder that contains them"
        )


def fetch(folder: Path, out: Path) -> dict[str, int]:
    """Validate the files of `folder` and copy them; users.csv is optional. Returns the number of rows of each.

    Required columns: user_id, item_id, last_watch_dt and watched_pct of interactions.csv, item_id of items.csv, user_id
    of users.csv. All others are optional. Files are copied, not linked, because DVC makes files in its cache read-only.
    """
    check(folder)
    rows = {}
    for name, read in READERS.items():
        if name != "users.csv" or (folder / name).exists():
            rows[name] = len(read(folder / name))
            shutil.copyfile(folder / name, out / name)
    return rows
