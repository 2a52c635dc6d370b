"""Chunks of a file -> typed batches of data/raw. Errors name the file, the column, the row and the value."""

from collections.abc import Callable, Iterator

from retrieval.errors import Problem
from retrieval.sources import values
from retrieval.sources.commands import remove_rows
from retrieval.sources.files import Chunk, Data
from retrieval.sources.mapping import without_type
from retrieval.sources.times import Times

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SECOND = 1_000_000  # microseconds
MISSING_WORDS = ("nan", "none", "null", "na", "n/a", "undefined", "(not set)")


class NeedsText(Exception):
    """An id of `role` is no integer: all of that role have to be text. `why` says which."""

    def __init__(self, role: str, why: str) -> None:
        super().__init__(why)
        self.role = role
        self.why = why


def interactions(data: Data, columns: dict[str, str], text: dict[str, bool], times: Times) -> Iterator[pa.RecordBatch]:
    """Batches of user_id, item_id, time and what else `columns` (role -> column) has.

    text: whether the ids of "user" and "item" are strings. Without a column of time, the number of the row is its time
    in seconds. Raises `NeedsText` at the first id that is no integer, unless its role is text.
    """
    row = 0
    for chunk in data.chunks(tuple(dict.fromkeys(columns.values()))):
        out = {f"{role}_id": _ids(chunk, columns[role], role, text[role]) for role in ("user", "item")}
        if "time" in columns:
            out["time"] = _convert(chunk, columns["time"], times.convert)
        else:
            order = np.arange(row, row + len(chunk.batch), dtype=np.int64) * SECOND
            out["time"] = pa.array(order).cast(pa.timestamp("us"))
        for role, convert in (("value", values.numbers), ("event", values.labels), ("duration", values.numbers)):
            if role in columns:
                out[role] = _convert(chunk, columns[role], convert)
        row += len(chunk.batch)
        yield pa.record_batch(list(out.values()), list(out))
    if not row:
        raise Problem(f"{data.path}: no rows below the header; expected at least one interaction")


def entities(data: Data, key: str, role: str, text: bool) -> Iterator[pa.RecordBatch]:
    """Batches of all columns of a file of users or items: the id, int64 or string, the others strings or lists of them.

    Columns of structs are left out. RecBole's types are cut off the names: columns of `_seq` are lists.
    """
    others = text_columns(data, key)
    names = [f"{role}_id", *(without_type(name) for name in others)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise Problem(f"{data.path}: two columns would be called {twice!r}: rename one of them")
    rows = 0
    for chunk in data.chunks((key, *others)):
        columns = [_ids(chunk, key, role, text)]
        columns += [_convert(chunk, name, _lists if _is_sequence(name) else values.to_text) for name in others]
        rows += len(chunk.batch)
        yield pa.record_batch(columns, names)
    if not rows:
        raise Problem(f"{data.path}: no rows below the header; to leave the file out: mapping.{role}s=none")


def text_columns(data: Data, key: str) -> list[str]:
    """The columns beside the id that are text, or can be."""
    schema = data.parts[0].schema
    return [c for c in data.columns if c != key and (schema is None or values.is_text(schema.field(c).type))]


def check_ids(data: Data, key: str, role: str) -> None:
    """Read the ids of a file; raises `NeedsText` at the first that is no integer."""
    for chunk in data.chunks((key,)):
        _ids(chunk, key, role, False)


def _ids(chunk: Chunk, column: str, role: str, text: bool) -> pa.Array:
    try:
        return _convert(chunk, column, lambda array: values.ids(array, text))
    except values.NotInteger as found:
        why = f"{role} ids are text, such as {found.value!r:.60} in {chunk.path.name}"
        missing = found.value.strip().lower() in MISSING_WORDS
        raise NeedsText(
            role, why + (": is it a missing value? all others may be integers" if missing else "")
        ) from None


def _convert(chunk: Chunk, column: str, convert: Callable[[pa.Array], pa.Array]) -> pa.Array:
    array = chunk.batch[column]
    try:
        return convert(array)
    except values.Invalid as wrong:
        value = array[wrong.row].as_py()
        why = wrong.why
        if isinstance(wrong, values.Empty):
            separator = None if chunk.part.schema else chunk.part.separator
            why += f"; to leave out such rows: {remove_rows(chunk.path, column, separator, chunk.name)}"
        shown = "" if value is None else f": {value!r:.60}" if isinstance(value, str | bytes) else f": {value!s:.60}"
        raise Problem(f"{chunk.path}: column {column!r}, row {chunk.start + wrong.row + 1}{shown} {why}") from None


def _is_sequence(name: str) -> bool:
    return name != without_type(name) and name.endswith("_seq")


def _lists(column: pa.Array) -> pa.Array:
    """RecBole's sequences: tokens with a space between them."""
    return pc.split_pattern(values.to_text(column), " ")
