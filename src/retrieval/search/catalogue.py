"""Titles of items, histories and demographics of users: written by the stage `index`, read by the service.

A catalogue folder holds
    items.npy, users.npy      [items], [users]  int64 ids, in the row order of every model
    items.parquet             one row per item: title, year, genres, watched (number of users who watched it in train)
    indptr.npy, item.npy, time.npy             the train histories as CSR arrays, memory-mapped when read
    user_indptr.npy, user_values.npy           demographics as CSR arrays: positions in the list of all column values
    catalogue.json            user_columns, gap (median seconds between two items of a history), data, sha256 per file
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.errors import Problem
from retrieval.histories import Features
from retrieval.stage import sha256, write_json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ARRAYS = ("items", "users", "indptr", "item", "time", "user_indptr", "user_values")
MAX_ID = 2**63 - 1


@dataclass(frozen=True)
class Catalogue:
    """Items and users by row; the arrays are those of the folder.

    `titles`, `years` and `genres` have one entry per item; a title or year is None where the source has none.
    `view_counts` [items] is the number of users who watched each item in train.
    """

    items: np.ndarray
    users: np.ndarray
    indptr: np.ndarray
    item: np.ndarray
    time: np.ndarray
    user_indptr: np.ndarray
    user_values: np.ndarray
    titles: list[str | None]
    years: list[str | None]
    genres: list[list[str]]
    view_counts: np.ndarray
    user_columns: dict[str, list[str]]
    gap: int

    def user_row(self, user_id: int) -> int | None:
        """The row of a user, None if the id is unknown."""
        return _row(self.users, user_id)

    def item_row(self, item_id: int) -> int | None:
        """The row of an item, None if the id is unknown."""
        return _row(self.items, item_id)

    def history(self, user: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the items that the user in row `user` watched in train, in time order, and seconds since 1970."""
        span = slice(self.indptr[user], self.indptr[user + 1])
        return np.array(self.item[span]), np.array(self.time[span])

    def demographics(self, user: int) -> dict[str, str]:
        """Column -> value for the user in row `user`."""
        pairs = [(column, value) for column, values in self.user_columns.items() for value in values]
        return dict(pairs[i] for i in self.user_values[self.user_indptr[user] : self.user_indptr[user + 1]])

    def find_items(self, text: str, k: int) -> list[int]:
        """Rows of up to `k` items whose title contains `text`, ignoring case, the most watched first."""
        matches = pc.match_substring(pa.array(self.titles, pa.string()), text, ignore_case=True)
        rows = np.flatnonzero(np.asarray(pc.fill_null(matches, False)))
        return rows[np.argsort(-self.view_counts[rows], kind="stable")[:k]].tolist()

    def find_users(self, digits: str, k: int) -> list[int]:
        """Up to `k` ids of users that start with these digits, ascending; without digits, k random users."""
        if not digits:
            sample = np.random.default_rng().choice(len(self.users), min(k, len(self.users)), replace=False)
            return self.users[sample].tolist()
        ids: list[int] = []
        for first, last in _prefix_ranges(int(digits)):
            start, end = np.searchsorted(self.users, first), np.searchsorted(self.users, last, side="right")
            ids += self.users[start:end][: k - len(ids)].tolist()
        return ids


def _row(ids: np.ndarray, value: int) -> int | None:
    row = int(np.searchsorted(ids, value))
    return row if row < len(ids) and ids[row] == value else None


def _prefix_ranges(prefix: int) -> Iterator[tuple[int, int]]:
    """Ranges (first, last) of the 64-bit numbers that start with the digits of `prefix`: 12, 120-129, 1200-1299..."""
    first, last = prefix, prefix
    while first <= MAX_ID:
        yield first, min(last, MAX_ID)
        if not prefix:
            return
        first, last = 10 * first, 10 * last + 9


def write(out: Path, features: Features, items: pa.Table) -> None:
    """Write the catalogue of `features` into the existing folder `out`; `items` is the table in data/prepared."""
    h = features.histories
    np.save(out / "items.npy", features.item_ids)
    np.save(out / "users.npy", features.user_ids)
    for name in ("indptr", "item", "time"):
        np.save(out / f"{name}.npy", getattr(h, name))
    np.save(out / "user_indptr.npy", features.users.indptr)
    np.save(out / "user_values.npy", features.users.indices)
    counts = np.bincount(h.item, minlength=len(features.item_ids))
    pq.write_table(_items(items, features.item_ids).append_column("watched", pa.array(counts)), out / "items.parquet")
    gaps = np.diff(h.time)[h.user[1:] == h.user[:-1]]
    card = {
        "user_columns": features.spec["user_columns"],
        "gap": int(np.median(gaps)) if len(gaps) else 0,
        "data": features.spec["data"],
    }
    files = {path.name: sha256(path) for path in sorted(out.iterdir()) if path.is_file()}
    write_json(out / "catalogue.json", {**card, "files": files})


def _items(table: pa.Table, ids: np.ndarray) -> pa.Table:
    """title, year and genres of the items `ids`, in this order; null where the source has none."""
    frame = table.to_pandas().set_index("item_id").reindex(ids)
    missing = pd.Series(None, index=frame.index, dtype=object)
    columns = {name: frame.get(name, missing) for name in ("title", "release_year", "genres")}
    title, year, genres = (pa.array(column, pa.string(), from_pandas=True) for column in columns.values())
    genres = pc.split_pattern(pc.fill_null(genres, ""), ",")
    return pa.table({"title": title, "year": pc.replace_substring_regex(year, r"\.0$", ""), "genres": genres})


def load(path: Path) -> Catalogue:
    """Read a catalogue folder. Raises `Problem` if a file is missing or does not match its hash."""
    try:
        card: dict[str, Any] = json.loads((path / "catalogue.json").read_text(encoding="utf-8"))
        verify_files(path, "catalogue.json", card["files"])
        arrays = {name: np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS}
        table = pq.read_table(path / "items.parquet")
        titles, years, genres = (table[name].to_pylist() for name in ("title", "year", "genres"))
        genres = [[genre.strip() for genre in row if genre.strip()] for row in genres]
        return Catalogue(**arrays, titles=titles, years=years, genres=genres, view_counts=np.asarray(table["watched"]),
                         user_columns=card["user_columns"], gap=card["gap"])  # fmt: skip
    except FileNotFoundError as error:
        raise Problem(f"{path}: not a catalogue: {Path(error.filename).name} is missing; run dvc repro index") from None
    except (ValueError, KeyError, OSError) as error:
        raise Problem(f"{path}: not a catalogue: {error}; run dvc repro index") from None


def verify_files(path: Path, card: str, files: dict[str, str]) -> None:
    """Compare the files of a folder with their hashes in its card. Raises `Problem` for the first that differs."""
    for name, expected in files.items():
        if sha256(path / name) != expected:
            raise Problem(f"{path / name}: does not match its hash in {card}; run dvc repro index")
