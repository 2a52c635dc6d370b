"""The three CSV files of the KION schema, read as typed Arrow tables and checked."""

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

    Other columns are left out; an empty watched_pct is null, not known. Raises `Problem` with one line that names the
    file, the column, the row (the first one after the header is row 1) and the value: a missing file or column, an id
    that is no integer, a date that is none, a watched_pct that is NaN or infinite.
    """
    types = {"user_id": pa.int64(), "item_id": pa.int64(), "last_watch_dt": pa.timestamp("us")}
    _header(path, *types, "watched_pct")
    table = _read(path, types | {"watched_pct": pa.float64()})
    if not len(table):
        raise Problem(f"{path}: holds no interactions")
    for name, type in types.items():
        _refuse(path, table, name, pc.is_null(table[name]), f"is empty; expected {_EXPECTED[type]}")
    share = table["watched_pct"]
    _refuse(path, table, "watched_pct", pc.invert(pc.is_finite(share)), "is not finite; leave empty what is not known")
    return table


def read_users(path: Path) -> pa.Table:
    """What is known of the users: user_id int64, every other column as text, null where it is empty.

    Without the file nothing is known of any user: no rows.
    """
    if not path.exists():
        return pa.table({"user_id": pa.array([], pa.int64())})
    return _read_entities(path, "user_id")


def read_items(path: Path) -> pa.Table:
    """What is known of the items: item_id int64, every other column as text, null where it is empty."""
    return _read_entities(path, "item_id")


def _read_entities(path: Path, key: str) -> pa.Table:
    table = _read(path, dict.fromkeys(_header(path, key), pa.string()) | {key: pa.int64()})
    _refuse(path, table, key, pc.is_null(table[key]), "is empty; expected an integer")
    return table


def _header(path: Path, *due: str) -> list[str]:
    """The names of the columns, `due` among them."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file), [])
    except FileNotFoundError:
        raise Problem(f"{path}: no such file; expected a CSV file of the KION schema") from None
    except (OSError, ValueError, csv.Error) as error:
        raise Problem(f"{path}: is no CSV file in UTF-8: {_one_line(error)}") from None
    for name in due:
        if name not in header:
            raise Problem(f"{path}: the column {name!r} is missing; {choices(name, header)}")
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise Problem(f"{path}: the column {twice!r} stands twice in the header")
    return header


def _read(path: Path, types: dict[str, pa.DataType]) -> pa.Table:
    """Line breaks inside of quotes cost time, so that numbers are read with them only where it does not go without."""
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
    """The line about a file that Arrow refused: the first value that does not convert, else what Arrow says of it."""
    try:
        text = _parse(path, dict.fromkeys(types, pa.string()), threads=False)
    except pa.ArrowInvalid as reason:
        return f"{path}: is no CSV file in UTF-8 with commas: {_one_line(reason)}"
    for name, type in types.items():
        row = _first_bad(pc.utf8_trim_whitespace(text[name]), type)
        if row is not None:
            return f"{path}: column {name!r}, row {row + 1}: {text[name][row].as_py()!r:.60} is not {_EXPECTED[type]}"
    return f"{path}: {_one_line(error)}"


def _first_bad(column: pa.ChunkedArray, type: pa.DataType) -> int | None:
    """The first row whose text does not convert, by halving."""
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


def _refuse(path: Path, table: pa.Table, name: str, bad: pa.ChunkedArray, why: str) -> None:
    row = pc.index(bad, True).as_py()
    if row >= 0:
        raise Problem(f"{path}: column {name!r}, row {row + 1}: {table[name][row].as_py()!r:.60} {why}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
