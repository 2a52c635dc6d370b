"""Files of recommendations, written part by part: parquet, CSV, JSON lines, and the submission of the KION contest.

All but the last have a row per user and item: user_id, item_id, rank, score.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from retrieval import stage

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def write(out: Path, kind: str, tables: Iterable[pa.Table]) -> int:
    """Write tables of user_id, item_id, rank, score as a file of a kind in KINDS; returns the number of rows.

    The rows of a user are together in one table. The file is written aside and replaces `out` at the end. Equal tables
    give equal bytes.
    """
    with stage.file(out) as aside, aside.open("wb") as file:
        return _write_parquet(file, tables) if kind == "parquet" else _write_lines(file, tables, *LINES[kind])


def _write_parquet(file: BinaryIO, tables: Iterable[pa.Table]) -> int:
    tables = iter(tables)
    first = next(tables)
    rows = len(first)
    with pq.ParquetWriter(file, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)
            rows += len(table)
    return rows


def _write_lines(file: BinaryIO, tables: Iterable[pa.Table], header: str, lines: Callable[[pa.Table], pa.Array]) -> int:
    rows = 0
    file.write(header.encode())
    for table in tables:
        text = lines(table).cast(pa.large_string())
        _, offsets, data = text.buffers()
        if len(text):
            file.write(data[: np.frombuffer(offsets, np.int64)[len(text)]])  # the texts of an array lie side by side
        rows += len(table)
    return rows


def _csv(table: pa.Table) -> pa.Array:
    columns = [_text(column, _quoted) for column in table.columns]
    return _concatenate(*[part for column in columns for part in (column, ",")][:-1], "\n")


def _json_lines(table: pa.Table) -> pa.Array:
    parts: list[pa.Array | str] = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        parts += [", " if parts else "{", f'"{name}": ', _text(column, _json_text)]
    return _concatenate(*parts, "}\n")


def _kion(table: pa.Table) -> pa.Array:
    """A line per user, with the items as a Python list."""
    users = table["user_id"].combine_chunks()
    code = np.asarray(users.dictionary_encode().indices)
    first = np.flatnonzero(np.append(True, code[1:] != code[:-1])[: len(code)])
    items = pc.replace_substring(_text(table["item_id"], repr), '"', '""')
    ends = pa.array(np.append(first, len(code)).astype(np.int32))
    lists = pc.binary_join(pa.ListArray.from_arrays(ends, items), ", ")
    return _concatenate(_text(users.take(pa.array(first)), _quoted), ',"[', lists, ']"\n')


def _text(column: pa.Array | pa.ChunkedArray, quote: Callable[[str], str]) -> pa.Array:
    """Numbers as text, the shortest that gives the number back; each text by `quote`."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if not pa.types.is_string(column.type):
        return column.cast(pa.string())
    codes = column.dictionary_encode()
    return pa.array([quote(text) for text in codes.dictionary.to_pylist()], pa.string()).take(codes.indices)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _json_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _concatenate(*parts: pa.Array | str) -> pa.Array:
    return pc.binary_join_element_wise(*(pa.scalar(part) if isinstance(part, str) else part for part in parts), "")


# What a file begins with, and the lines of a table.
LINES: dict[str, tuple[str, Callable[[pa.Table], pa.Array]]] = {
    "csv": ("user_id,item_id,rank,score\n", _csv),
    "jsonl": ("", _json_lines),
    "kion": ("user_id,item_id\n", _kion),
}
KINDS = ("parquet", *LINES)
