"""The only writer of data/raw: typed parquet files, written in a stream."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

GROUP = 1 << 20  # rows per row group
TIME = pa.timestamp("us")
OPTIONAL = {"value": pa.float64(), "event": pa.string(), "duration": pa.float64()}
_KEY = "ties of one time"  # of the hash of text ids; 16 characters, never to change


@dataclass
class Raw:
    """What a source has written: rows per file, whether the times are real, and what was said about the data."""

    rows: dict[str, int]
    timed: bool = True
    said: list[str] = field(default_factory=list)


def write_interactions(out: Path, batches: Iterable[pa.RecordBatch]) -> int:
    """Write interactions.parquet and return its number of rows.

    batches: user_id and item_id (int64 or string), time timestamp[us], and the columns of OPTIONAL that there are; all
    of one schema. The column `tie` is added.
    """
    return _write(out / "interactions.parquet", (_with_tie(batch) for batch in batches))


def write_entities(out: Path, name: str, batches: Iterable[pa.RecordBatch]) -> int:
    """Write users.parquet or items.parquet (`name` without the ending) and return its number of rows.

    batches: the id first, every other column string or list<string>; all of one schema.
    """
    return _write(out / f"{name}.parquet", batches)


def write_tables(out: Path, interactions: pa.Table, users: pa.Table, items: pa.Table) -> Raw:
    """Write three tables that are in memory, with the names of KION's columns."""
    names = {"user_id": None, "item_id": None, "last_watch_dt": TIME, "watched_pct": pa.float64()}
    typed = [interactions[name] if kind is None else interactions[name].cast(kind) for name, kind in names.items()]
    duration = interactions["total_dur"].cast(pa.float64())
    rows = pa.table([*typed, duration], ["user_id", "item_id", "time", "value", "duration"])
    counts = {"interactions.parquet": write_interactions(out, rows.to_batches(GROUP))}
    for name, table in (("items", items), ("users", users)):
        text = [column if k == 0 else column.cast(pa.string()) for k, column in enumerate(table.columns)]
        text = [text[0], *(pc.if_else(pc.equal(column, ""), None, column) for column in text[1:])]
        counts[f"{name}.parquet"] = write_entities(out, name, pa.table(text, table.column_names).to_batches())
    return Raw(counts)


def tie(users: pa.Array, items: pa.Array, times: pa.Array) -> np.ndarray:
    """[n] int64, the order of rows of equal time: a hash of user, item and time, and of nothing else.

    h = mix(u), h = mix(h + i), h = mix(h + t), modulo 2^64, then read as a signed number. mix is the step of SplitMix64
    (Steele et al., 2014); t is in microseconds since 1970; u and i are integer ids, or the hash of a text id
    (pandas.util.hash_array with a fixed key). So ties depend neither on the order of the file nor on the order of ids.
    """
    hashed = _mix(_number(users))
    for part in (_number(items), times.cast(pa.int64()).to_numpy().view(np.uint64)):
        hashed = _mix(hashed + part)
    return hashed.view(np.int64)


def _mix(value: np.ndarray) -> np.ndarray:
    """One step of SplitMix64, [n] uint64 -> [n] uint64; it wraps around."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def _number(ids: pa.Array) -> np.ndarray:
    """[n] uint64, one number per id."""
    if pa.types.is_integer(ids.type):
        return ids.cast(pa.int64()).to_numpy().view(np.uint64)
    codes = ids.dictionary_encode()
    names = codes.dictionary.to_numpy(zero_copy_only=False).astype(object)
    return pd.util.hash_array(names, hash_key=_KEY, categorize=False)[codes.indices.to_numpy()]


def _with_tie(batch: pa.RecordBatch) -> pa.RecordBatch:
    order = tie(batch["user_id"], batch["item_id"], batch["time"])
    names = ["user_id", "item_id", "time", "tie", *(name for name in OPTIONAL if name in batch.schema.names)]
    columns = {"tie": pa.array(order), **dict(zip(batch.schema.names, batch.columns, strict=True))}
    return pa.record_batch([columns[name] for name in names], names)


def _write(path: Path, batches: Iterable[pa.RecordBatch]) -> int:
    """Write batches in groups of about GROUP rows; there must be one, which may have no rows."""
    total, waiting, writer = 0, [], None
    try:
        for batch in batches:
            writer = writer or pq.ParquetWriter(path, batch.schema, compression="zstd", compression_level=1)
            waiting.append(batch)
            if sum(map(len, waiting)) >= GROUP:
                writer.write_table(pa.Table.from_batches(waiting), row_group_size=2 * GROUP)
                waiting = []
            total += len(batch)
        if waiting and writer:
            writer.write_table(pa.Table.from_batches(waiting), row_group_size=2 * GROUP)
    finally:
        if writer:
            writer.close()
    return total
