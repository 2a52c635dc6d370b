"""Lists of systems from outside this repository, judged like any model: models/external/NAME/*.parquet.

A row is a user, an item and its place: user_id, item_id, and rank (from 1) or score (higher is better), in the ids of
the data. Columns besides these are ignored. Users of the test without a row have an empty list.
"""

import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from retrieval import ids
from retrieval.errors import Problem
from retrieval.histories import Features
from retrieval.ranking import places
from retrieval.stage import read_table

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class External:
    """users [n]: ids, ascending, of those who have a list; items [n, length] int32: rows of items, -1 after the end."""

    users: np.ndarray
    items: np.ndarray

    def lists(self, users: np.ndarray) -> np.ndarray:
        """The lists [len(users), length] of users by their ids; -1 for those who have none."""
        row = ids.rows_of(users, self.users)
        return np.where(row[:, None] < 0, -1, self.items[row])


class Rows(NamedTuple):
    """The rows of one system: rows of users and of items, and what they are ordered by, lowest first, all [n].

    files: its files; starts: the place of the first row of each.
    """

    files: list[Path]
    starts: np.ndarray
    user: np.ndarray
    item: np.ndarray
    key: np.ndarray

    def where(self, row: int) -> str:
        """The file and the row in it, from 1."""
        file = int(np.searchsorted(self.starts, row, side="right")) - 1
        return f"{self.files[file]}: row {row - self.starts[file] + 1}"


def read_all(
    folder: Path, data: Features, cold: np.ndarray, test: np.ndarray, models: Collection[str], length: int
) -> dict[str, External]:
    """The systems in `folder`, which need not exist, by name; the first `length` items of each list.

    cold: ids of the users of the test who are not in train; test: of its other users. models: names that are taken.
    Raises `Problem`, with the file and the row, for an unknown user or item, an item or a rank that a user has twice,
    and an item that the lists of the test leave out. Says how many users of the test have no list.
    """
    found = {}
    for path in sorted(folder.glob("[!.]*")):
        if path.is_dir():
            if path.name in models or not NAME.fullmatch(path.name):
                reason = (
                    "is the name of a model" if path.name in models else "is not a name of letters, digits, _ and -"
                )
                raise Problem(f"{path}: {path.name!r} {reason}; rename the folder")
            found[path.name] = read(path, data, np.union1d(data.user_ids, cold), length)
            _report(path, found[path.name], test, cold)
        elif path.suffix == ".dvc" and not path.with_suffix("").exists():
            print(f"evaluate: {path.with_suffix('')}: is missing and not judged; run dvc checkout", file=sys.stderr)
        elif path.suffix == ".parquet":
            raise Problem(f"{path}: expected a folder per system: {folder}/NAME/*.parquet")
    return found


def read(path: Path, data: Features, users: np.ndarray, length: int) -> External:
    """The lists in the parquet files of a folder; `users` are the ids that may have one, ascending."""
    files = sorted(path.glob("*.parquet"))
    if not files:
        raise Problem(f"{path}: has no parquet file")
    place = _columns(files[0])[-1]
    parts = [_read_file(file, place, users, data.item_ids) for file in files]
    starts = np.cumsum([0, *(len(part[0]) for part in parts[:-1])])
    rows = Rows(files, starts, *(np.concatenate(part) for part in zip(*parts, strict=True)))
    if not len(rows.user):
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        raise Problem(f"{path}: no rows in {files[0].name}{more}; expected a row for each user and item")
    order = np.lexsort((rows.key, rows.user))  # stable: equal scores in the order of the rows
    _check_items(rows, users, data)
    _check_ranks(rows, order, users, place)
    user, item = rows.user[order], rows.item[order]
    distinct, first, of = np.unique(user, return_index=True, return_inverse=True)
    rank = np.arange(len(user)) - first[of]
    items, fits = np.full((len(distinct), length), -1, dtype=np.int32), rank < length
    items[of[fits], rank[fits]] = item[fits]
    return External(users[distinct], items)


def _columns(file: Path) -> list[str]:
    """The columns to read of a file. Raises `Problem` if one is missing."""
    try:
        names = pq.read_schema(file).names
    except (OSError, pa.ArrowException) as error:
        raise Problem(f"{file}: not a parquet file: {str(error).splitlines()[0]}") from None
    place = "rank" if "rank" in names else "score"
    for column in ("user_id", "item_id", place):
        if column not in names:
            what = "rank or score" if column == "score" else column
            raise Problem(f"{file}: no column {what}; its columns: {', '.join(names) or 'none':.300}")
    return ["user_id", "item_id", place]


def _read_file(file: Path, place: str, users: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, ...]:
    """Rows of users, rows of items, and what the items of a user are ordered by: column `place`."""
    columns = _columns(file)
    if columns[-1] != place:
        raise Problem(f"{file}: has a column {columns[-1]}, other files of the folder a column {place}")
    table = read_table(file, columns)
    user = _rows(file, table, "user_id", users, "neither in train nor in the test")
    return user, _rows(file, table, "item_id", items, "not in train"), _key(file, table, place)


def _rows(file: Path, table: pa.Table, column: str, all_ids: np.ndarray, unknown: str) -> np.ndarray:
    """The row of each id of a column."""
    codes = table[column].combine_chunks().dictionary_encode()
    values = [*codes.dictionary.to_pylist(), None]
    rows = np.append(ids.find(values[:-1], all_ids), -1)[np.asarray(codes.indices.fill_null(len(values) - 1))]
    if (rows < 0).any():
        row = int(np.argmax(rows < 0))
        value = table[column][row].as_py()
        raise Problem(f"{file}: row {row + 1}: {column} {'is empty' if value is None else f'{value!r} is {unknown}'}")
    return rows


def _key(file: Path, table: pa.Table, name: str) -> np.ndarray:
    """What orders the items of a user: the rank, or minus the score."""
    expected = "an integer from 1" if name == "rank" else "a number"
    try:
        values = table[name].cast(pa.float64()).to_numpy()
    except pa.ArrowException:
        raise Problem(f"{file}: column {name}: has type {table[name].type}; expected {expected}") from None
    wrong = ~np.isfinite(values)
    if name == "rank":
        wrong |= (values < 1) | (values != np.floor(values))
    if wrong.any():
        row = int(np.argmax(wrong))
        value = table[name][row].as_py()
        raise Problem(f"{file}: row {row + 1}: {name} is {'empty' if value is None else value}; expected {expected}")
    return values if name == "rank" else -values


def _check_items(rows: Rows, users: np.ndarray, data: Features) -> None:
    """Raises `Problem` for an item that a user has twice, or that the lists of the test leave out."""
    items = len(data.item_ids)
    pairs = rows.user * items + rows.item
    first = np.unique(pairs, return_index=True)[1]
    if len(first) < len(pairs):
        row = int(np.setdiff1d(np.arange(len(pairs)), first)[0])
        raise Problem(
            f"{rows.where(row)}: {_named(rows, row, users)} has item {_id(data.item_ids, rows.item[row])} twice"
        )
    user, item = places(data.excluded)
    of_train = ids.rows_of(users, data.user_ids)[rows.user]
    wrong = np.isin(np.where(of_train < 0, -1, of_train * items + rows.item), user * items + item)
    if wrong.any():
        row = int(np.argmax(wrong))
        name = _id(data.item_ids, rows.item[row])
        raise Problem(
            f"{rows.where(row)}: {_named(rows, row, users)} has watched or dislikes item {name} in train; leave such "
            f"items out, as the other models do ({wrong.sum()} of {len(wrong)} rows)"
        )


def _check_ranks(rows: Rows, order: np.ndarray, users: np.ndarray, place: str) -> None:
    """Raises `Problem` for a rank that a user has twice."""
    again = (np.diff(rows.user[order]) == 0) & (np.diff(rows.key[order]) == 0)
    if place == "rank" and again.any():
        row = int(order[1:][again].min())
        raise Problem(f"{rows.where(row)}: {_named(rows, row, users)} has rank {rows.key[row]:.0f} twice")


def _named(rows: Rows, row: int, users: np.ndarray) -> str:
    return f"user {_id(users, rows.user[row])}"


def _id(all_ids: np.ndarray, row: int) -> str:
    value = all_ids[row]
    return repr(value) if isinstance(value, str) else str(value)


def _report(path: Path, external: External, test: np.ndarray, cold: np.ndarray) -> None:
    """Say that all lists are short, and how many users of the test have none, unless they are all not in train."""
    longest, wanted = int(np.count_nonzero(external.items >= 0, axis=1).max()), external.items.shape[1]
    if longest < wanted:
        print(f"evaluate: {path}: its lists have at most {longest} items, and `evaluate.ks` asks for {wanted}: metrics "
              "of longer lists count what there is", file=sys.stderr)  # fmt: skip
    missing = ids.rows_of(test, external.users) < 0
    if missing.any():
        print(
            f"evaluate: {path}: {missing.sum()} of {len(test)} test users have no list: an empty one", file=sys.stderr
        )
    missing = ids.rows_of(cold, external.users) < 0
    if missing.any() and not missing.all():
        of = f"{len(cold)} test users who are not in train"
        print(f"evaluate: {path}: {missing.sum()} of {of} have no list: an empty one", file=sys.stderr)
