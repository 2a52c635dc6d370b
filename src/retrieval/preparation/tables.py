"""Readers of the three CSV files of the KION schema: typed, validated Arrow tables."""

import contextlib
import csv
from pathlib import Path

from retrieval.errors import Problem, choices

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

_DATE = "a date such as 2021-03-13 or 2021-03-13 20:15:00, without a time zone"
_EXPECTED = {pa.int64(): "an integer", pa.timestamp("us"): _DATE, pa.float64(): "a number"}


def read_interactions(path: Path) -> pa.Table:
    """Who watched what: user_id and item_id int64, last_watch_dt timestamp[us], watched_pct float64 or null.

    Other columns are ignored; an empty watched_pct is null. Raises `Problem` with one line that names the file, the
    column, the row (row 1 follows the header) and the value: for a missing file or column, an id that is not an
    integer, an invalid date, or a watched_pct that is not finite.
    """
    types = {"user_id": pa.int64(), "item_id": pa.int64(), "last_watch_dt": pa.timestamp("us")}
    _header(path, *types, "watched_pct")
    table = _read(path, types | {"watched_pct": pa.float64()})
    if not len(table):
        raise Problem(f"{path}: no rows; expected at least one interaction")
    for name, type in types.items():
        _require_value(path, table, name, _EXPECTED[type])
    row = pc.index(pc.is_finite(table["watched_pct"]), False).as_py()
    if row >= 0:
        value = table["watched_pct"][row].as_py()
        raise Problem(f"{path}: column 'watched_pct', row {row + 1}: {value} is not finite; leave unknown values empty")
    return table


def read_users(path: Path) -> pa.Table:
    """Features of users: user_id int64, every other column as text, null where it is empty.

    Returns a table without rows if there is no such file.
    """
    if not path.exists():
        return pa.table({"user_id": pa.array([], pa.int64())})
    return _read_entities(path, "user_id")


def read_items(path: Path) -> pa.Table:
    """Features of items: item_id int64, every other column as text, null where it is empty."""
    return _read_entities(path, "item_id")


def _read_entities(path: Path, key: str) -> pa.Table:
    table = _read(path, dict.fromkeys(_header(path, key), pa.string()) | {key: pa.int64()})
    _require_value(path, table, key, _EXPECTED[pa.int64()])
    return table


def _header(path: Path, *required: str) -> list[str]:
    """The names of the columns; raises `Problem` if a `required` one is missing or any appears twice."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file), [])
    except FileNotFoundError:
        raise Problem(f"{path}: no such file; expected a CSV file of the KION schema") from None
    except (OSError, ValueError, csv.Error) as error:
        raise Problem(f"{path}: not a CSV file in UTF-8: {_one_line(error)}") from None
    for name in required:
        if name not in header:
            raise Problem(f"{path}: column {name!r} is missing; {choices(name, header)}")
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise Problem(f"{path}: column {twice!r} appears twice in the header")
    return header


def _read(path: Path, types: dict[str, pa.DataType]) -> pa.Table:
    """Read the columns `types`. Quoted newlines slow parsing down: if there are only numbers, try without them."""
    if pa.string() not in types.values():
        with contextlib.suppress(pa.ArrowInvalid):
            return _parse(path, types, newlines=False)
    try:
        return _parse(path, types)
    except pa.ArrowInvalid as error:
        raise Problem(_explain(path, types, error)) from None


def _parse(path: Path, types: dict[str, pa.DataType], newlines: bool = True, threads: bool = True) -> pa.Table:
    return arrow_csv.read_csv(
        path,
        arrow_csv.ReadOptions(use_threads=threads, block_size=1 << 23),
        arrow_csv.ParseOptions(newlines_in_values=newlines),
        arrow_csv.ConvertOptions(
            column_types=types, include_columns=list(types), null_values=[""], strings_can_be_null=True
        ),
    )


def _explain(path: Path, types: dict[str, pa.DataType], error: pa.ArrowInvalid) -> str:
    """Why Arrow cannot read a file, in one line: the first value that does not convert, else Arrow's own message."""
    try:
        text = _parse(path, dict.fromkeys(types, pa.string()), threads=False)
    except pa.ArrowInvalid as reason:
        return f"{path}: not a CSV file in UTF-8 with commas: {_one_line(reason)}"
    for name, type in types.items():
        row = _first_invalid(pc.utf8_trim_whitespace(text[name]), type)
        if row is not None:
            return f"{path}: column {name!r}, row {row + 1}: {text[name][row].as_py()!r:.60} is not {_EXPECTED[type]}"
    return f"{path}: {_one_line(error)}"


def _first_invalid(column: pa.ChunkedArray, type: pa.DataType) -> int | None:
    """The first row whose text does not convert to `type`, found by bisection; None if all convert."""
    if _converts(column, type):
        return None
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _converts(column[low:middle], type) else (low, middle)
    return low


def _converts(column: pa.ChunkedArray, type: pa.DataType) -> bool:
    try:
        column.cast(type)
    except pa.ArrowInvalid:
        return False
    return True


def _require_value(path: Path, table: pa.Table, name: str, expected: str) -> None:
    row = pc.index(pc.is_null(table[name]), True).as_py()
    if row >= 0:
        raise Problem(f"{path}: column {name!r}, row {row + 1} is empty; expected {expected}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
