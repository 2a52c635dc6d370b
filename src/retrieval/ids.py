"""Ids of users and items, as the data have them: 64-bit integers or text. Everything between them and the user is rows.

An array of ids is int64, or object holding str. Those of users and items are ascending, text by code point, each id
once: the position of an id is its row in every matrix.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from retrieval.stage import read_table

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

_COLUMN = "id"
_MIN, _MAX = -(2**63), 2**63 - 1


def save(path: Path, ids: np.ndarray) -> None:
    """Write the ids [n] as a parquet file of one column, int64 or string."""
    kind = pa.string() if ids.dtype == object else pa.int64()
    pq.write_table(pa.table({_COLUMN: pa.array(ids, kind)}), path)


def load(path: Path) -> np.ndarray:
    """Read a file that `save` wrote."""
    return read_table(path)[_COLUMN].to_numpy()


def rows_of(ids: np.ndarray, all_ids: np.ndarray) -> np.ndarray:
    """The row of each of `ids` [n] in `all_ids`, [n] int64; -1 for an id that is not there."""
    return pd.Index(all_ids).get_indexer(pd.Index(ids)).astype(np.int64)


def find(values: Iterable[Any], all_ids: np.ndarray) -> np.ndarray:
    """As `rows_of` for `values` [n] that may be of the other type, such as text for integers, see `convert`."""
    found = [convert(value, all_ids) for value in values]
    if all_ids.dtype == object:
        return rows_of(np.array(found, dtype=object), all_ids)
    valid = np.array([isinstance(each, int) for each in found], dtype=bool)
    rows = rows_of(np.array([each if isinstance(each, int) else 0 for each in found], dtype=np.int64), all_ids)
    return np.where(valid, rows, -1)


def row_of(value: int | str, all_ids: np.ndarray) -> int | None:
    """The row of one id, None if it is unknown. `value` may be of the other type, see `convert`."""
    value = convert(value, all_ids)
    if isinstance(value, str) != (all_ids.dtype == object):
        return None
    row = int(np.searchsorted(all_ids, value))
    return row if row < len(all_ids) and all_ids[row] == value else None


def convert(value: int | str, all_ids: np.ndarray) -> int | str:
    """`value` in the type of `all_ids`: the integer 7 as text is "7", the text "7" as an integer is 7.

    Text that is not the usual form of a 64-bit integer, such as "007", "+7", " 7" and "x", stays text.
    """
    if all_ids.dtype == object:
        return str(value)
    try:
        number = int(value)
    except (TypeError, ValueError):
        return value
    return number if _MIN <= number <= _MAX and str(number) == str(value) else value


def starting_with(prefix: str, all_ids: np.ndarray, limit: int) -> list[Any]:
    """Up to `limit` ids that start with `prefix`, which is not empty: text ascending; the shortest integers first.

    The leading zeros of digits do not count.
    """
    if all_ids.dtype == object:
        start = int(np.searchsorted(all_ids, prefix))
        return [text for text in all_ids[start : start + limit].tolist() if text.startswith(prefix)]
    digits = prefix.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= len(str(_MAX))):
        return []
    negative = prefix != digits
    numbers: list[int] = []
    first, last, largest = int(digits), int(digits), -_MIN if negative else _MAX
    while first <= largest and len(numbers) < limit:  # 12, 120-129, 1200-1299, ...
        low, high = (-min(last, largest), -first) if negative else (first, min(last, largest))
        start, end = int(np.searchsorted(all_ids, low)), int(np.searchsorted(all_ids, high, side="right"))
        numbers += all_ids[start:end][: limit - len(numbers)].tolist()
        first, last = (10 * first, 10 * last + 9) if first else (largest + 1, largest + 1)
    return numbers
