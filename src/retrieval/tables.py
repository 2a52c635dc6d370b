"""The three CSV files of the KION schema, read as typed Arrow tables and checked."""

import csv
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from retrieval.errors import Problem, choices

NAMES = ("interactions.csv", "items.csv", "users.csv")
_INTERACTIONS = {
    "user_id": pa.int64(), "item_id": pa.int64(), "last_watch_dt": pa.timestamp("us"), "watched_pct": pa.float64()
}
_TEXT = pa.dictionary(pa.int32(), pa.string())
_EXPECTED = {
    pa.int64(): ("an integer", r"^\s*[+-]?\d{1,19}\s*$"),
    pa.timestamp("us"): ("a date such as 2021-03-13 or 2021-03-13 20:15:00", None),
    pa.float64(): ("a number, or nothing where it is not known", None),
}


def read_interactions(path: Path) -> pa.Table:
    """Who watched what: user_id and item_id int64, last_watch_dt timestamp[us], watched_pct float64 or null.

    Other columns are left out. Raises `Problem` with one line that names the file, the column, the row (the first
    one after the header is 1) and the value: a missing file or column, an id that is no integer, a date that is none,
    a watched_pct that is NaN or infinite. An empty watched_pct is null: not known.
    """
    table = _read(path, _INTERACTIONS, None)
    if not len(table):
        raise Problem(f"{path}: holds no interactions")
    for name in ("user_id", "item_id", "last_watch_dt"):
        _refuse(path, table, name, pc.is_null(table[name]), "is empty")
    _refuse(path, table, "watched_pct", pc.invert(pc.is_finite(table["watched_pct"])), "is not a finite number")
    return table


def read_users(path: Path) -> pa.Table:
    """What is known of the users: user_id int64, every other column as dictionary-encoded text, "" as null."""
    return _read_entities(path, {"user_id": pa.int64()})


def read_items(path: Path) -> pa.Table:
    """What is known of the items: item_id int64, release_year float64 if there is one, all else as `read_users`."""
    return _read_entities(path, {"item_id": pa.int64(), "release_year": pa.float64()})


def _read_entities(path: Path, types: dict[str, pa.DataType]) -> pa.Table:
    table = _read(path, types, _TEXT)
    key = next(iter(types))
    _refuse(path, table, key, pc.is_null(table[key]), "is empty")
    return table


def _read(path: Path, types: dict[str, pa.DataType], others: pa.DataType | None) -> pa.Table:
    """The columns that `types` names and, as the type `others`, all the rest (none without it)."""
    header = _header(path)
    wanted = types if others is None else {name: types.get(name, others) for name in header}
    missing = next((name for name in types if name not in header and name != "release_year"), None)
    if missing is not None:
        raise Problem(f"{path}: has no column {missing!r}; {choices(missing, header)}"
                      .replace("expected one of", "its columns are"))
    try:
        return _parse(path, wanted)
    except pa.ArrowInvalid as error:
        raise _explain(path, wanted, error) from None


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file), [])
    except FileNotFoundError:
        raise Problem(f"{path}: no such file; expected a CSV file of the KION schema") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Problem(f"{path}: is no CSV file in UTF-8: {error}") from None
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise Problem(f"{path}: the column {twice!r} stands twice in the header")
    return header


def _parse(path: Path, types: dict[str, pa.DataType]) -> pa.Table:
    convert = arrow_csv.ConvertOptions(
        column_types=types, include_columns=list(types), null_values=[""], strings_can_be_null=True
    )
    quoted = _TEXT in types.values()
    return arrow_csv.read_csv(
        path, arrow_csv.ReadOptions(block_size=1 << 24), arrow_csv.ParseOptions(newlines_in_values=quoted), convert
    )


def _explain(path: Path, types: dict[str, pa.DataType], error: pa.ArrowInvalid) -> Problem:
    """The line for a file that Arrow refused: the first value that does not convert, else what Arrow says."""
    try:
        text = _parse(path, dict.fromkeys(types, pa.string()))
    except pa.ArrowInvalid as reason:
        return Problem(f"{path}: is no CSV file in UTF-8 with a comma between values: {_one_line(reason)}")
    for name, type in types.items():
        if type in _EXPECTED and (row := _first_bad(text[name], type)) is not None:
            value = text[name][row].as_py()
            return Problem(f"{path}: column {name!r}, row {row + 1}: {_short(value)} is not {_EXPECTED[type]}")
    return Problem(f"{path}: {_one_line(error)}")


def _first_bad(column: pa.ChunkedArray, type: pa.DataType) -> int | None:
    """The first row whose text does not convert, found by halving."""
    low, high = 0, len(column)
    if _converts(column, type):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _converts(column.slice(low, middle - low), type) else (low, middle)
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
        raise Problem(f"{path}: column {name!r}, row {row + 1}: {_short(table[name][row].as_py())} {why}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _one_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error))[:200]
