"""Ids of users and items, as the data have them: 64-bit integers or text. Everything between them and the user is rows.

An array of ids is int64, or object holding str. Those of users and items are ascending, text by code point, each id
once: the position of an id is its row in every matrix.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

_COLUMN = "id"


def save(path: Path, ids: np.ndarray) -> None:
    """Write the ids [n] as a parquet file of one column, int64 or string."""
    kind = pa.string() if ids.dtype == object else pa.int64()
    pq.write_table(pa.table({_COLUMN: pa.array(ids, kind)}), path)


def load(path: Path) -> np.ndarray:
    """Read a file that `save` wrote."""
    return pq.read_table(path)[_COLUMN].to_numpy()


def rows_of(ids: np.ndarray, all_ids: np.ndarray) -> np.ndarray:
    """The row of each of `ids` [n] in `all_ids`, [n] int64; -1 for an id that is not there."""
    return pd.Index(all_ids).get_indexer(pd.Index(ids)).astype(np.int64)


def row_of(value: int | str, all_ids: np.ndarray) -> int | None:
    """The row of one id, None if it is unknown. Integers may come as text, such as from a URL: "15", not "015"."""
    if all_ids.dtype == object:
        value = str(value)
    elif str(value) == str(_integer(value)):
        value = int(value)
    else:
        return None
    row = int(np.searchsorted(all_ids, value))
    return row if row < len(all_ids) and all_ids[row] == value else None


def _integer(value: int | str) -> int | None:
    try:
        number = int(value)
    except ValueError:
        return None
    return number if -(2**63) <= number < 2**63 else None
