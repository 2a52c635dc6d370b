"""Commands for the shell that turn a file that is refused into one that is read, beside it. The original is kept."""

import json
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from itertools import count as counting
from pathlib import Path

COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}  # by the first bytes of a file
_UNPACK = {"gzip": "zcat", "zstd": "zstdcat", "bz2": "bzcat"}
_NAMES = {  # MovieLens' columns, for files without a header
    "interactions": ["user_id", "item_id", "rating", "timestamp"],
    "items": ["item_id", "title", "genres"],
    "users": ["user_id", "gender", "age", "occupation", "zip_code"],
}


def compression_of(start: bytes) -> str | None:
    """The compression of a file that starts with these bytes, by its name in Arrow; None if it has none."""
    return next((name for magic, name in COMPRESSIONS.items() if start.startswith(magic)), None)


def add_header(path: Path, cells: Sequence[str], separator: str, name: str) -> str:
    """Put names above a file, whose first row has these cells. name: interactions, items or users."""
    names = _names(cells) if name == "interactions" else _NAMES[name][:2]
    return _filter(path, f"sed '1i {_header(names, len(cells), separator)}'", name)


def turn_into_tabs(path: Path, count: int, name: str) -> str:
    """Turn the separators `::` of `count` columns into tabs, below a header."""
    return _filter(path, f"sed -e 's/::/\\t/g' -e '1i {_header(_NAMES[name], count, chr(9))}'", name)


def turn_into_utf8(path: Path, encoding: str, name: str) -> str:
    """Write the text of another encoding in UTF-8."""
    return _filter(path, f"iconv -f {encoding} -t UTF-8", name)


def remove_quotes(path: Path, name: str) -> str:
    """Remove all quotation marks."""
    return _filter(path, "sed 's/\"//g'", name)


def remove_nul(path: Path, name: str) -> str:
    """Remove all NUL bytes."""
    return _filter(path, "tr -d '\\000'", name)


def remove_rows(path: Path, column: str, separator: str | None, name: str) -> str:
    """Leave out the rows without a value in `column`. separator: of a CSV file, None for parquet."""
    if separator is None:
        write, target = "to_parquet", path.with_name(f"{name}.parquet")
        read = f"read_parquet({_literal(path)})"
    else:
        options = "" if separator == "," else f"sep={_literal(separator)}, "
        options += 'dtype=str, keep_default_na=False, na_values=["", "NULL"]'
        write, target = "to_csv", path.with_name(f"{name}.csv")
        read = f"read_csv({_literal(path)}, {options})"
    rows = f"{read}.dropna(subset=[{_literal(column)}])"
    return _write(target, lambda new: _python(f"{rows}.{write}({_literal(new)}, index=False)"))


def turn_json_into_parquet(path: Path, lines: bool, name: str) -> str:
    """Write JSON, one object per line or a list of them, as parquet. Ids stay as they are."""
    options = ("lines=True, " if lines else "") + "dtype=False, convert_dates=False"
    read = f"read_json({_literal(path)}, {options})"
    return _write(path.with_name(f"{name}.parquet"), lambda new: _python(f"{read}.to_parquet({_literal(new)})"))


def join_partitions(folder: Path) -> str:
    """Write the partitions of a folder, such as date=2022-01-26/part-0.parquet, as one file beside it."""
    read = f"read_parquet({_literal(folder)})"
    target = folder.with_name(f"{folder.name}.parquet")
    return _write(target, lambda new: _python(f"{read}.to_parquet({_literal(new)})"))


def _python(expression: str) -> str:
    return f"python -c 'import pandas; pandas.{expression}'"


def _literal(text: str | Path) -> str:
    """Python's literal of a text, fit for an argument of the shell in single quotation marks."""
    return json.dumps(str(text), ensure_ascii=False).replace("'", "\\u0027")


def _quote(path: Path) -> str:
    return shlex.quote(str(path))


def _filter(path: Path, command: str, name: str) -> str:
    """Run a file through a command and write another file, which is then found first."""
    with path.open("rb") as opened:
        compression = compression_of(opened.read(4))
    whole = f"{_UNPACK[compression]} {_quote(path)} | {command}" if compression else f"{command} < {_quote(path)}"
    return _write(path.with_name(f"{name}.csv"), lambda new: f"{whole} > {_quote(new)}")


def _write(target: Path, command: Callable[[Path], str]) -> str:
    """A command that writes `target`. A file that is there is kept, hidden, and so is one that was kept before it."""
    if not target.exists():
        return command(target)
    new = target.with_suffix(".new")
    kept = next(each for each in _numbered(target.with_name(f".{target.name}.before")) if not each.exists())
    return f"{command(new)} && {{ mv -n {_quote(target)} {_quote(kept)}; mv {_quote(new)} {_quote(target)}; }}"


def _numbered(path: Path) -> Iterator[Path]:
    """The path, then with 2, 3, ... behind it."""
    yield path
    yield from (path.with_name(f"{path.name}{number}") for number in counting(2))


def _header(names: list[str], count: int, separator: str) -> str:
    """A header of `count` columns for GNU sed."""
    names = [*names, *(f"column_{k + 1}" for k in range(len(names), count))][:count]
    return separator.join(names).replace("\t", "\\t")


def _names(cells: Sequence[str]) -> list[str]:
    """Names for a first row of interactions: user, item, the time wherever it is, a rating in a row of just these."""
    last = len(cells) - 1
    dates = [k for k, cell in enumerate(cells) if re.fullmatch(r"\d{4}-\d\d-\d\d([T ].*)?", cell)]
    if last > 1 and re.fullmatch(r"\d{9,10}|\d{13}", cells[last]):
        dates = [last]
    names = ["user_id", "item_id", *(["rating"] if dates == [last] == [3] else [])]
    if dates:
        names += [f"column_{k + 1}" for k in range(len(names), dates[0])]
        names.insert(dates[0], "timestamp")
    return names
