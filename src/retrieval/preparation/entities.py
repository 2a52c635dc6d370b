"""Tables of users and items: one row per id that the interactions have."""

from pathlib import Path

from retrieval.stage import read_table

import numpy as np
import pandas as pd
import pyarrow as pa


def read_entities(path: Path, key: str, ids: pa.Array) -> pa.Table:
    """The table of a raw file; without the file, one without rows and with the id column `key` alone, of ids' type."""
    return read_table(path) if path.exists() else pa.table({key: pa.array([], ids.type)})


def select(table: pa.Table, key: str, ids: pa.Array) -> tuple[pa.Table, dict[str, int]]:
    """The rows whose id is in `ids`, by ascending id, and the number of dropped rows by reason.

    If an id appears more than once, its last row is kept.
    """
    frame = pd.DataFrame({key: table[key].to_numpy(), "row": np.arange(len(table))})
    last = frame[~frame.duplicated(key, keep="last")]
    rows = last[last[key].isin(ids.to_numpy(zero_copy_only=False))].sort_values(key)
    dropped = {"repeated": len(frame) - len(last), "not_in_interactions": len(last) - len(rows)}
    return table.take(pa.array(rows["row"].to_numpy())), dropped
