"""Folders and tables as the stage `fetch` writes them, of rows written as tuples."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

FIRST_DAY = datetime(2021, 3, 1)
TYPES = {
    "user_id": pa.int64(), "item_id": pa.int64(), "time": pa.timestamp("us"), "tie": pa.int64(), "value": pa.float64(),
    "event": pa.string(), "duration": pa.float64(),
}  # fmt: skip


def day(number: float) -> datetime:
    """Day 1 is 2021-03-01."""
    return FIRST_DAY + timedelta(days=number - 1)


def write_interactions(path: Path, rows: list[tuple[Any, ...]], columns: str = "user_id item_id time value") -> Path:
    """Write interactions.parquet. A `time` may be the number of a day; a row without a `tie` has its place for one."""
    values = dict(zip(columns.split(), zip(*rows, strict=True), strict=True))
    values["time"] = [each if isinstance(each, datetime) else day(each) for each in values["time"]]
    values.setdefault("tie", range(len(rows)))
    names = [name for name in TYPES if name in values]
    kinds = {name: pa.string() if isinstance(values[name][0], str) else TYPES[name] for name in names}
    pq.write_table(pa.table({name: pa.array(list(values[name]), kinds[name]) for name in names}), path)
    return path


def write_raw(
    folder: Path, rows: list[tuple[Any, ...]], columns: str = "user_id item_id time value", **more: Any
) -> Path:
    """Write a folder data/raw; more: tables `items` and `users` as dicts, and keys of the manifest."""
    folder.mkdir(parents=True)
    write_interactions(folder / "interactions.parquet", rows, columns)
    for name in ("items", "users"):
        if name in more:
            pq.write_table(pa.table(more.pop(name)), folder / f"{name}.parquet")
    manifest = {"source": "folder", "split": "days", "timed": True, "columns": None} | more
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder
