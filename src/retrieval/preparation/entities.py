"""Tables of users and items: one row per id that the interactions have, and the items that nobody has had yet."""

from pathlib import Path

from retrieval.stage import read_table

import numpy as np
import pandas as pd
import pyarrow as pa


def read_entities(path: Path, key: str, ids: pa.Array) -> pa.Table:
    """The table of a raw file; without the file, one without rows and with the id column `key` alone, of ids' type."""
    return read_table(path) if path.exists() else pa.table({key: pa.array([], ids.type)})


def divide(table: pa.Table, key: str, ids: pa.Array) -> tuple[pa.Table, pa.Table, int]:
    """The rows whose id is in `ids`, the rows of other ids, both by ascending id, and how many rows are left out.

    If an id appears more than once, its last row counts.
    """
    frame = pd.DataFrame({key: table[key].to_numpy(), "row": np.arange(len(table))})
    last = frame[~frame.duplicated(key, keep="last")].sort_values(key)
    chosen = last[key].isin(ids.to_numpy(zero_copy_only=False))
    rows, others = (table.take(pa.array(last["row"][part].to_numpy())) for part in (chosen, ~chosen))
    return rows, others, len(frame) - len(last)
