"""The data files of a folder: which one is what, and their rows as a stream of batches."""

import csv
import io
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from retrieval.errors import Problem
from retrieval.sources.commands import join_partitions, remove_quotes
from retrieval.sources.formats import Format, one_line, reader, sniff, wrong_encoding

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv as arrow_csv

BLOCK = 1 << 23  # bytes of CSV per batch; no row may be longer
ROWS = 1 << 18  # per batch of a parquet file
MISSING = ("NULL", "\\N")  # unquoted; beside the empty cell
END = "\0end of file"  # in every cell of a row after the last one; it is missing where a quotation mark is never closed


@dataclass(frozen=True)
class Chunk:
    """Some rows of a file, and the number of rows before them. Columns of CSV are strings, null where empty.

    name: interactions, items or users.
    """

    part: Format
    name: str
    start: int
    batch: pa.RecordBatch

    @property
    def path(self) -> Path:
        """The file."""
        return self.part.path


@dataclass
class Data:
    """A file, or a folder of parts with the same columns, in the order of their names. `missing`: tokens seen."""

    path: Path
    name: str
    parts: list[Format]
    missing: int = field(default=0)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that have a name, in the order of the first part."""
        return tuple(name for name in self.parts[0].columns if name)

    def chunks(self, columns: tuple[str, ...]) -> Iterator[Chunk]:
        """The rows in order, with these columns. Raises `Problem` for a row that is not as wide as the header."""
        self.missing = 0
        for part in self.parts:
            start = 0
            for batch in _parquet(part, columns) if part.schema else self._csv(part, columns):
                yield Chunk(part, self.name, start, batch)
                start += len(batch)

    def _csv(self, part: Format, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        try:
            for batch in _complete(part, self.name, _read(part, self.name, columns)):
                self.missing += sum(column.null_count for column in batch.columns)
                yield pa.record_batch([_empty_is_null(column) for column in batch.columns], list(columns))
        except (pa.ArrowInvalid, OSError) as error:
            raise _explain(part, error, self.name) from None


def open_data(path: Path, name: str) -> Data:
    """Open a file or a folder of parts. Raises `Problem` if it is neither, or cannot be read.

    name: interactions, items or users, for commands in errors.
    """
    mode = _mode(path)
    if stat.S_ISREG(mode):
        return Data(path, name, [sniff(path, name)])
    parts = [sniff(part, name) for part in part_files(path)]
    if not parts:
        raise Problem(f"{path}: a folder without parts; expected a file, or a folder of CSV or parquet files")
    for part in parts[1:]:
        lacks = sorted(set(parts[0].columns) ^ set(part.columns))
        if lacks:
            raise Problem(f"{part.path}: has other columns than {parts[0].path.name}, such as {lacks[0]!r}")
    return Data(path, name, parts)


def part_files(folder: Path) -> list[Path]:
    """The files of a folder of parts in the order of their names, numbers by value; not _SUCCESS and the like."""
    parts = [path for path in folder.iterdir() if not path.name.startswith((".", "_"))]
    for path in parts:
        if not stat.S_ISREG(_mode(path)):
            raise Problem(f"{path}: a folder within a folder of parts; expected files only: {join_partitions(folder)}")
    return sorted(parts, key=lambda path: [(len(n), n, t) for n, t in re.findall(r"0*(\d*)(\D*)", path.name)])


def _mode(path: Path) -> int:
    """The type of a path, which must be a file or a folder."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        what = f"a link to {path.readlink()}, which does not exist" if path.is_symlink() else "no such file"
        raise Problem(f"{path}: {what}") from None
    except OSError as error:
        raise Problem(f"{path}: cannot be read: {error.strerror}") from None
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise Problem(f"{path}: {kinds.get(stat.S_IFMT(mode), 'a device')}; expected a file or a folder of parts")
    return mode


def _read(part: Format, name: str, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    """Stream a CSV file; every column as text, null for the MISSING tokens."""
    rows = 0
    with pa.input_stream(part.path, compression=part.compression) as stream:
        quote = '"' if part.quoted else False
        ended = _Ended(stream, "\n" + part.separator.join([END] * len(part.columns)) + "\n")
        for batch in arrow_csv.open_csv(
            ended,
            arrow_csv.ReadOptions(block_size=BLOCK),
            arrow_csv.ParseOptions(delimiter=part.separator, quote_char=quote, newlines_in_values=part.quoted),
            arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()),
                include_columns=list(columns),
                null_values=list(MISSING),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        ):
            rows += len(batch)
            yield batch
    if part.quoted and ended.lines > rows:
        _check_long_cells(part, name)


class _Ended:
    """A stream with some text after its end. lines: how many it has had."""

    closed = False
    lines = 0

    def __init__(self, stream: pa.NativeFile, text: str) -> None:
        self._stream = stream
        self._rest = text.encode()

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self.lines += max(data.count(b"\n"), data.count(b"\r"))
        if not data:
            data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def close(self) -> None:
        """The stream is closed by whoever opened it."""


def _check_long_cells(part: Format, name: str) -> None:
    """Raise `Problem` for text after a cell in quotation marks that spans lines: it has swallowed the rows between two
    cells that only begin with such a mark."""
    csv.field_size_limit(BLOCK)
    with pa.input_stream(part.path, compression=part.compression) as stream:
        rows = csv.reader(io.TextIOWrapper(stream, "utf-8-sig", newline=""), delimiter=part.separator, strict=True)
        while True:
            line = rows.line_num + 1
            try:
                next(rows)
            except StopIteration:
                return
            except csv.Error:
                if rows.line_num > line:
                    raise _never_closed(part, name, f"line {line}") from None


def _never_closed(part: Format, name: str, where: str) -> Problem:
    return Problem(
        f"{part.path}: {where}: a quotation mark is never closed; if such marks are part of the text: "
        f"{remove_quotes(part.path, name)}"
    )


def _complete(part: Format, name: str, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches without the row of END. Raises `Problem` if the last row has swallowed it."""
    rows, waiting = 0, None
    for batch in batches:
        if waiting is not None:
            yield waiting
        rows, waiting = rows + len(batch), batch
    if waiting is None:
        return
    if any(column[len(waiting) - 1].as_py() != END for column in waiting.columns):
        raise _never_closed(part, name, f"row {rows}")
    if len(waiting) > 1:
        yield waiting.slice(0, len(waiting) - 1)


def _parquet(part: Format, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(part.path) as file:
            for batch in file.iter_batches(ROWS, columns=list(columns)):
                yield batch.select(list(columns))
    except (pa.ArrowException, OSError, KeyError) as error:
        raise Problem(f"{part.path}: cannot be read: {one_line(error)}") from None


def _empty_is_null(column: pa.Array) -> pa.Array:
    empty = pc.equal(column, "")
    return pc.if_else(empty, None, column) if pc.any(empty).as_py() else column


def _explain(part: Format, error: Exception, name: str) -> Problem:
    """Why Arrow stopped, with the row. An error that has no such cause is given as it is."""
    text = one_line(error)
    if "UTF8" in text:
        with pa.input_stream(part.path, compression=part.compression) as stream:
            while sample := stream.read(BLOCK):
                try:
                    sample.decode()
                except UnicodeDecodeError as where:
                    if where.end < len(sample) - 3 or len(sample) < BLOCK:
                        return wrong_encoding(part.path, sample[max(where.start - 1000, 0) :], name)
    if "straddl" in text:
        return Problem(f"{part.path}: a row is longer than {BLOCK >> 20} MB; is a quotation mark never closed?")
    if "Expected" in text:
        row, cells = _ragged(part)
        if row:
            return Problem(f"{part.path}: row {row} has {cells} columns, the header has {len(part.columns)}")
    if "Empty CSV" in text:
        return Problem(f"{part.path}: no rows below the header")
    return Problem(f"{part.path}: cannot be read: {text}")


def _ragged(part: Format) -> tuple[int, int]:
    """The first row that is not as wide as the header, and its width; 0 if Python's reader finds none."""
    csv.field_size_limit(BLOCK)
    with pa.input_stream(part.path, compression=part.compression) as stream:
        text = io.TextIOWrapper(stream, "utf-8-sig", errors="replace", newline="")
        rows = (row for row in reader(text, part.separator, part.quoted) if row)
        return next(((k, len(row)) for k, row in enumerate(rows) if len(row) != len(part.columns)), (0, 0))
