"""Titles of items, histories and demographics of users: written by the stage `catalogue`, read by the service.

A catalogue folder holds
    item_ids.parquet, user_ids.parquet         the ids in the row order of every model, see `ids`; the items of train
                              come first, then the new ones, which have features and no interaction
    new_items.npz             what is said of the new items, as `Features.described`, CSR
    items.parquet             one row per item: title, year, genres, watched (number of users who watched it in train)
    indptr.npy, item.npy, time.npy             the train histories as CSR arrays, memory-mapped when read
    disliked_indptr.npy, disliked_item.npy     what is not to be recommended to a user besides, as CSR arrays
    user_indptr.npy, user_values.npy           demographics as CSR arrays: positions in the list of all column values
    item_indptr.npy, item_values.npy           the same for the columns of items, without those of text
    catalogue.json            trained (the number of items of train), spec (what encodes new items, as in `Features`),
                              user_columns, item_columns, gap (median seconds between two items of a history), timed
                              (whether the times are those of the data, not only their order), data, sha256 per file
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from retrieval import ids
from retrieval.encode import joined, separator, split
from retrieval.errors import Problem
from retrieval.histories import Features
from retrieval.stage import read_card, read_table, write_card, write_sparse
from retrieval.vocabulary import encode_ages, encode_items, extend

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import scipy.sparse as sp

# What encodes new items, of the spec of the features
SPEC = ("item_columns", "item_readings", "item_texts", "text_model", "moment")
REMEDY = "run dvc repro"
ARRAYS = (
    "indptr", "item", "time", "disliked_indptr", "disliked_item", "user_indptr", "user_values", "item_indptr",
    "item_values",
)  # fmt: skip


@dataclass(frozen=True)
class Catalogue:
    """Items and users by row; the arrays are those of the folder.

    `titles`, `years` and `genres` have one entry per item; a title or year is None where the source has none.
    `view_counts` [items] is the number of users who watched each item in train. `user_columns`, `item_columns`: the
    values of each column. `starts`: the rows where ascending runs of ids begin: 0, the first new item, and the first
    that was added later. `new` [new items, columns + buckets] CSR: what is said of them, as `Features.described`;
    `spec` encodes it.
    """

    items: np.ndarray
    users: np.ndarray
    indptr: np.ndarray
    item: np.ndarray
    time: np.ndarray
    disliked_indptr: np.ndarray
    disliked_item: np.ndarray
    user_indptr: np.ndarray
    user_values: np.ndarray
    item_indptr: np.ndarray
    item_values: np.ndarray
    titles: list[str | None]
    years: list[str | None]
    genres: list[list[str]]
    view_counts: np.ndarray
    user_columns: dict[str, list[str]]
    item_columns: dict[str, list[str]]
    gap: int
    timed: bool
    starts: tuple[int, ...]
    new: sp.csr_matrix
    spec: dict[str, Any]

    @property
    def trained(self) -> int:
        """The number of items in train; the new ones come after them."""
        return len(self.items) - self.new.shape[0]

    def user_row(self, user_id: int | str) -> int | None:
        """The row of a user, None if the id is unknown."""
        return ids.row_of(user_id, self.users)

    def item_row(self, item_id: int | str) -> int | None:
        """The row of an item, None if the id is unknown."""
        row = int(self.item_rows([item_id])[0])
        return None if row < 0 else row

    def item_rows(self, item_ids: Sequence[int | str]) -> np.ndarray:
        """The row of each of `item_ids` [n], -1 for unknown ones."""
        kind = str if self.items.dtype == object else int
        values = [each if type(each) is kind else ids.convert(each, self.items) for each in item_ids]
        valid = np.array([type(each) is kind for each in values], bool)
        any_id = self.items[0]
        found = np.array([each if ok else any_id for each, ok in zip(values, valid, strict=True)], self.items.dtype)
        result = np.full(len(values), -1, np.int64)
        for start, end in pairwise((*self.starts, len(self.items))):
            run = self.items[start:end]
            if len(run):
                place = np.minimum(np.searchsorted(run, found), len(run) - 1)
                there = valid & (run[place] == found)
                result[there] = start + place[there]
        return result

    def history(self, user: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the items that the user in row `user` watched in train, in time order, and seconds since 1970."""
        span = slice(self.indptr[user], self.indptr[user + 1])
        return np.array(self.item[span]), np.array(self.time[span])

    def excluded(self, user: int) -> np.ndarray:
        """Rows of the items that the lists of the user in row `user` leave out: watched in train, or disliked."""
        disliked = self.disliked_item[self.disliked_indptr[user] : self.disliked_indptr[user + 1]]
        return np.union1d(self.history(user)[0], disliked)

    @cached_property
    def exclusions(self) -> sp.csr_matrix:
        """The items of `excluded` for every user, [users, items] float32, not zero where an item is left out."""
        shape = len(self.users), len(self.items)
        seen, disliked = (
            sp.csr_matrix((np.ones(len(item), np.float32), item, indptr), shape=shape)
            for item, indptr in ((self.item, self.indptr), (self.disliked_item, self.disliked_indptr))
        )
        return sp.csr_matrix(seen + disliked)

    def demographics(self, user: int) -> list[tuple[str, str]]:
        """(column, value) of the user in row `user`; a column may have several values."""
        pairs = [(column, value) for column, values in self.user_columns.items() for value in values]
        return [pairs[i] for i in self.user_values[self.user_indptr[user] : self.user_indptr[user + 1]]]

    @cached_property
    def first_value(self) -> dict[str, int]:
        """The position of each column's first value in the list of all values of items."""
        sizes = [len(values) for values in self.item_columns.values()]
        return dict(zip(self.item_columns, np.cumsum([0, *sizes]).tolist(), strict=False))

    @cached_property
    def items_of_values(self) -> sp.csc_matrix:
        """[items, values] of ones: which items have each value."""
        shape = len(self.items), sum(map(len, self.item_columns.values()))
        ones = np.ones(len(self.item_values), np.int8)
        return sp.csr_matrix((ones, self.item_values, self.item_indptr), shape=shape).tocsc()

    @cached_property
    def _texts(self) -> pa.Array:
        return pa.array(self.titles, pa.string())

    def find_items(self, text: str, k: int) -> list[int]:
        """Rows of up to `k` items whose title contains `text`, ignoring case, the most watched first."""
        matches = pc.match_substring(self._texts, text, ignore_case=True)
        rows = np.flatnonzero(np.asarray(pc.fill_null(matches, False)))
        return rows[np.argsort(-self.view_counts[rows], kind="stable")[:k]].tolist()

    def find_users(self, prefix: str, k: int) -> list[Any]:
        """Up to `k` ids of users that start with `prefix`, see `ids.starting_with`; if it is empty, k random users."""
        if prefix:
            return ids.starting_with(prefix, self.users, k)
        sample = np.random.default_rng().choice(len(self.users), min(k, len(self.users)), replace=False)
        return self.users[sample].tolist()


def write(out: Path, features: Features, items: pa.Table, new: pa.Table) -> None:
    """Write the catalogue of `features` into the existing folder `out`.

    `items` and `new` are the tables in data/prepared: the items of train, and those without an interaction.
    """
    trained = len(features.item_ids)
    features = extend(features, new)
    h = features.histories
    ids.save(out / "item_ids.parquet", features.item_ids)
    ids.save(out / "user_ids.parquet", features.user_ids)
    write_sparse(out / "new_items.npz", features.described[trained:])
    disliked = sp.csr_matrix(features.seen.shape) if features.disliked is None else features.disliked
    values = features.items[:, : sum(map(len, features.categories.values()))]
    matrices = disliked, features.users, values
    arrays = h.indptr, h.item, h.time, *(part for each in matrices for part in (each.indptr, each.indices))
    for name, array in zip(ARRAYS, arrays, strict=True):
        np.save(out / f"{name}.npy", array)
    table = pa.concat_tables([items, new], promote_options="permissive")
    about = describe(table, features.item_ids).append_column("watched", pa.array(features.counts))
    pq.write_table(about, out / "items.parquet")
    gaps = np.diff(h.time)[h.user[1:] == h.user[:-1]]
    card = {
        "trained": trained,
        "spec": {name: features.spec[name] for name in SPEC if name in features.spec},
        "user_columns": features.spec["user_columns"],
        "item_columns": features.categories,
        "gap": int(np.median(gaps)) if len(gaps) else 0,
        "timed": features.spec["timed"],
        "data": features.spec["data"],
    }
    write_card(out / "catalogue.json", card)


def extended(catalogue: Catalogue, table: pa.Table) -> Catalogue:
    """The catalogue with more new items: the rows of `table`, item_id and columns as in the file of items.

    None of them may be in the catalogue already.
    """
    item_ids = np.sort(table["item_id"].to_numpy())
    features = encode_items(item_ids, table, catalogue.spec)
    described = features
    if catalogue.new.shape[1] > features.shape[1]:
        described = sp.hstack([features, encode_ages(item_ids, table, catalogue.spec["moment"])])
    values = features[:, : sum(map(len, catalogue.item_columns.values()))]
    titles, years, genres = _shown(describe(table, item_ids))
    return replace(
        catalogue,
        items=np.concatenate([catalogue.items, item_ids]),
        item_indptr=np.append(catalogue.item_indptr, catalogue.item_indptr[-1] + values.indptr[1:]),
        item_values=np.append(catalogue.item_values, values.indices),
        titles=catalogue.titles + titles,
        years=catalogue.years + years,
        genres=catalogue.genres + genres,
        view_counts=np.append(catalogue.view_counts, np.zeros(len(item_ids), np.int64)),
        starts=(*catalogue.starts, len(catalogue.items)),
        new=sp.csr_matrix(sp.vstack([catalogue.new, described])),
    )


def describe(table: pa.Table, item_ids: np.ndarray) -> pa.Table:
    """title, year and genres (a list) of the items `item_ids`, in this order; null where the table has none."""
    row = pa.array(ids.rows_of(item_ids, table["item_id"].to_numpy()))
    row = pc.if_else(pc.less(row, 0), None, row)
    missing = pa.chunked_array([pa.nulls(len(table), pa.string())])
    columns = {key: table[key] if key in table.column_names else missing for key in ("title", "release_year", "genres")}
    title, year = (joined(columns[name]).take(row) for name in ("title", "release_year"))
    year = pc.replace_substring_regex(year, r"\.0$", "")
    return pa.table({"title": title, "year": year, "genres": _values(columns["genres"]).take(row)})


def _values(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of lists; text is split at its separator, or at commas if it seems to have none."""
    if pa.types.is_list(column.type):
        return column
    return pa.chunked_array([split(pc.fill_null(column, "").combine_chunks(), separator(column) or ",")])


def load(path: Path) -> Catalogue:
    """Read a catalogue folder. Raises `Problem` if a file is missing or does not match its hash."""
    card = read_card(path / "catalogue.json", REMEDY)
    try:
        arrays = {name: np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS}
        users, items = (ids.load(path / f"{side}_ids.parquet") for side in ("user", "item"))
        table = read_table(path / "items.parquet")
        titles, years, genres = _shown(table)
        new, trained = sp.csr_matrix(sp.load_npz(path / "new_items.npz")), card["trained"]
        return Catalogue(items, users, **arrays, titles=titles, years=years, genres=genres,
                         view_counts=np.asarray(table["watched"]), user_columns=card["user_columns"],
                         item_columns=card["item_columns"], gap=card["gap"], timed=card["timed"],
                         starts=(0, trained), new=new, spec=card["spec"])  # fmt: skip
    except FileNotFoundError as error:
        raise Problem(f"{path}: not a catalogue: {Path(error.filename).name} is missing; {REMEDY}") from None
    except (ValueError, KeyError, OSError) as error:
        raise Problem(f"{path}: not a catalogue: {error}; {REMEDY}") from None


def _shown(table: pa.Table) -> tuple[list[str | None], list[str | None], list[list[str]]]:
    """Titles, years and genres of a table that `describe` made."""
    titles, years, genres = (table[name].to_pylist() for name in ("title", "year", "genres"))
    return titles, years, [[value.strip() for value in row or () if value and value.strip()] for row in genres]
