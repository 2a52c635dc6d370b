"""What a file is, from its first bytes: CSV, with its separator and header, or parquet. Everything else is refused."""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from retrieval.errors import Problem
from retrieval.sources import commands

import pyarrow as pa
import pyarrow.parquet as pq

SAMPLE = 1 << 20  # bytes; a header must fit
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
RECBOLE = (".inter", ".item", ".user")  # tab-separated, never quoted
_OTHER = {
    b"PK\x03\x04": "a zip file (or an Excel file): unpack it, or save it as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel file: save it as CSV",
    b"\xfd7zXZ": "compressed with xz: unpack it, or compress it with gzip or zstd",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"ARROW1\0": "an Arrow (Feather) file: save it as parquet",
    b"Obj\x01": "an Avro file: save it as parquet",
    b"SQLite format 3": "an SQLite file: export the tables as CSV",
}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Format:
    """The format of one file. `schema` is that of a parquet file, None for CSV."""

    path: Path
    columns: tuple[str, ...]
    schema: pa.Schema | None = None
    compression: str | None = None
    separator: str = ","
    quoted: bool = True


def sniff(path: Path, name: str) -> Format:
    """The format of a file. Raises `Problem`, with a way to go on, if it is neither CSV in UTF-8 nor parquet.

    name: interactions, items or users; commands to convert a file write one of this name.
    """
    try:
        with path.open("rb") as file:
            start = file.read(64)
        if not start:
            raise Problem(f"{path}: the file is empty")
        if start.startswith(b"PAR1"):
            schema = pq.read_schema(path)
            return Format(path, tuple(schema.names), schema)
        other = next((what for magic, what in _OTHER.items() if start.startswith(magic)), None)
        if other:
            raise Problem(f"{path}: {other}; expected CSV or parquet")
        if path.suffix.lower() in (".parquet", ".pq"):
            text = start[:30].decode(errors="replace")
            raise Problem(f"{path}: not a parquet file: it begins with {text!r}; a CSV file needs the ending .csv")
        compression = commands.compression_of(start)
        with pa.input_stream(path, compression=compression) as stream:
            sample = stream.read(SAMPLE)
    except (OSError, pa.ArrowException) as error:
        raise Problem(f"{path}: cannot be read: {one_line(error)}") from None
    return _csv(path, sample, compression, name)


def _csv(path: Path, sample: bytes, compression: str | None, name: str) -> Format:
    text = decode(path, sample, name)
    if text.lstrip().startswith(("{", "[")):
        command = commands.turn_json_into_parquet(path, not text.lstrip().startswith("["), name)
        raise Problem(f"{path}: JSON, expected CSV or parquet; to convert it: {command}")
    if not text.strip():
        raise Problem(f"{path}: the file is empty")
    if len(sample) == SAMPLE and not re.search(r"[\r\n]", text.strip()):
        raise Problem(f"{path}: the header is longer than {SAMPLE >> 20} MB; expected CSV or parquet")
    line = next(line for line in re.split(r"[\r\n]", text) if line.strip())
    if line.count("::") > 1:
        command = commands.turn_into_tabs(path, line.count("::") + 1, name)
        raise Problem(f"{path}: columns are separated by '::'; turn them into tabs, with a header: {command}")
    quoted = not set(RECBOLE) & set(path.suffixes)
    separator = _separator(line)
    try:
        columns = next(row for row in reader(io.StringIO(text, newline=""), separator, quoted) if row)
    except (csv.Error, StopIteration) as error:
        raise Problem(f"{path}: no header of a CSV file in the first line: {one_line(error)}") from None
    twice = next((name for name in columns if name and columns.count(name) > 1), None)
    if twice is not None:
        raise Problem(f"{path}: column {twice!r} appears twice in the header")
    return Format(path, tuple(columns), None, compression, separator, quoted)


def reader(lines: Iterable[str], separator: str, quoted: bool) -> Iterator[list[str]]:
    """Python's reader of CSV, which is slow: for headers and errors."""
    return csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)


def decode(path: Path, sample: bytes, name: str) -> str:
    """The start of a file as text. Raises `Problem` with a guess at the encoding if it is not UTF-8."""
    if sample.startswith(_UTF16) or max(sample[:64:2].count(0), sample[1:64:2].count(0)) > len(sample[:64]) / 4:
        command = commands.turn_into_utf8(path, "UTF-16", name)
        raise Problem(f"{path}: the encoding is UTF-16, expected UTF-8; convert it: {command}")
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(sample)
    except UnicodeDecodeError:
        raise wrong_encoding(path, sample, name) from None
    if "\0" in text:
        row = text[: text.index("\0")].count("\n")
        command = commands.remove_nul(path, name)
        raise Problem(f"{path}: line {row + 1} contains a NUL byte; expected text; to remove them: {command}")
    return text


def wrong_encoding(path: Path, sample: bytes, name: str) -> Problem:
    """The error for text that is not UTF-8. Cyrillic letters come in groups, accented Latin ones alone."""
    high = re.findall(rb"[\x80-\xff]+", sample)
    grouped = sum(len(run) for run in high if len(run) > 1) > sum(map(len, high)) / 2
    encoding, words = (
        ("CP1251", "Windows-1251 (Cyrillic)") if grouped else ("CP1252", "Windows-1252 (Western European)")
    )
    command = commands.turn_into_utf8(path, encoding, name)
    return Problem(f"{path}: the encoding is not UTF-8, it looks like {words}; convert it: {command}")


def looks_like_data(columns: tuple[str, ...]) -> bool:
    """Whether a header has a number or a date for a name, so that it probably is the first row."""
    return any(re.fullmatch(r"[-+]?\d+([.,]\d+)?([-:/T ][\d.:TZ/ -]+)?", name.strip()) for name in columns)


def one_line(error: Exception) -> str:
    """The text of an error of a library."""
    return " ".join(str(error).split())[:200]


def _separator(line: str) -> str:
    outside = re.sub(r'"[^"]*"', "", line)
    return max(SEPARATORS, key=outside.count)
