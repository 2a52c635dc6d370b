"""Rows of CSV and parquet files as batches: what is read, and the row that is refused."""

import gzip
from pathlib import Path

from retrieval.errors import Problem
from retrieval.sources import files
from retrieval.sources.files import open_data, part_files

import pyarrow as pa
import pyarrow.parquet as pq
import pytest


def rows(path: Path, *columns: str) -> list[tuple]:
    data = open_data(path, "interactions")
    chunks = data.chunks(columns or data.columns)
    return [tuple(row.values()) for chunk in chunks for row in chunk.batch.to_pylist()]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a,b\n1,2\n 7,007\n", [("1", "2"), (" 7", "007")]),
        (b"a,b\r\n1,\r\n,2", [("1", None), (None, "2")]),
        (b"\xef\xbb\xbfa;b\n1,5;2\n", [("1,5", "2")]),
        (b'a,b\n"x\ny","say ""hi"""\n', [("x\ny", 'say "hi"')]),
        (b'a,b\n"",NULL\n"NULL",\\N\n', [(None, None), ("NULL", None)]),
        (b"a,b\n\n1,2\n\n", [("1", "2")]),
        ("a,b\nЖ,é\n".encode(), [("Ж", "é")]),
        (b"a,b\n1,null\nNA,nan\n", [("1", "null"), ("NA", "nan")]),
        (b",a,b\n0,1,2\n", [("1", "2")]),
    ],
)
def test_cells_are_what_they_are(tmp_path: Path, data: bytes, expected: list[tuple]) -> None:
    assert rows(write(tmp_path / "f.csv", data)) == expected
    assert rows(write(tmp_path / "f.csv.gz", gzip.compress(data))) == expected


def test_missing_tokens_are_counted(tmp_path: Path) -> None:
    data = open_data(write(tmp_path / "f.csv", b'a,b\nNULL,\n"NULL",\\N\n'), "interactions")
    list(data.chunks(("a", "b")))
    assert data.missing == 2


def test_a_file_of_recbole_has_no_quotes(tmp_path: Path) -> None:
    path = write(tmp_path / "ml.item", b'item_id:token\ttitle:token_seq\n1\t"Q" & Co\n2\t"half\n')
    assert rows(path) == [("1", '"Q" & Co'), ("2", '"half')]


def test_rows_are_counted_over_batches_and_quoted_line_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BLOCK", 200)
    text = "a,b\n" + "".join(f'{k},"x\n{k}"\n' for k in range(100))
    chunks = list(open_data(write(tmp_path / "f.csv", text.encode()), "interactions").chunks(("a",)))
    assert len(chunks) > 3
    assert all(
        chunk.batch["a"].to_pylist() == [str(chunk.start + k) for k in range(len(chunk.batch))] for chunk in chunks
    )
    assert sum(len(chunk.batch) for chunk in chunks) == 100


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2], "b": ["x", None], "c.d": [[1], []]})
    pq.write_table(table, tmp_path / "f.parquet")
    (chunk,) = open_data(tmp_path / "f.parquet", "interactions").chunks(("b", "a"))
    assert chunk.batch.to_pydict() == {"b": ["x", None], "a": [1, 2]}


def test_parts_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "events.csv"
    folder.mkdir()
    for number in (10, 2, 1):
        write(folder / f"part-{number}.csv", f"a,b\n{number},x\n".encode())
    write(folder / "part-11.csv", b"b,a\nx,11\n")
    for name in ("_SUCCESS", ".part-1.csv.crc"):
        write(folder / name, b"")
    assert rows(folder, "a") == [("1",), ("2",), ("10",), ("11",)]
    assert part_files(folder)[0].name == "part-1.csv"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a,b\n1,2\n3\n", "row 2 has 1 columns, the header has 2"),
        (b"a,b\n1,2\n\n3,4,5\n", "row 2 has 3 columns, the header has 2"),
        (b"a,b\n" + b'"x\ny",2\n' * 50_000 + b"3\n", "row 50001 has 1 columns"),
        (b"a,b\n1,2\n" * 200_000 + "é,1\n".encode("latin-1"), "the encoding is not UTF-8, it looks like Windows-1252"),
        (b'a,b\n1,2\n1,"never closed\n' + b"1,2\n" * 9, "line 3: a quotation mark is never closed; .*: sed"),
        (
            b'a,b\n1,"never closed\n' + b"1,2\n" * 3_000_000,
            "a row is longer than 8 MB; is a quotation mark never closed",
        ),
        (gzip.compress(b"a,b\n" + b"1,2\n" * 3_000_000, mtime=0)[:-20], "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    path = write(tmp_path / "f.csv", data)
    with pytest.raises(Problem, match=message) as caught:
        rows(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_damaged_parquet_file_is_one_line(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": list(range(100_000))}), tmp_path / "f.parquet")
    data = bytearray((tmp_path / "f.parquet").read_bytes())
    data[100:5000] = bytes(4900)
    with pytest.raises(Problem, match="cannot be read: "):
        rows(write(tmp_path / "f.parquet", bytes(data)))


def test_parts_that_do_not_fit_together(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="a folder without parts"):
        open_data(tmp_path, "interactions")
    write(tmp_path / "1.csv", b"a,b\n1,2\n")
    write(tmp_path / "2.csv", b"a,c\n1,2\n")
    with pytest.raises(Problem, match=r"2\.csv: has other columns than 1\.csv, such as 'b'"):
        open_data(tmp_path, "interactions")
    (tmp_path / "day=1").mkdir()
    with pytest.raises(Problem, match="day=1: a folder within a folder of parts"):
        open_data(tmp_path, "interactions")


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_titles_that_begin_with_a_quotation_mark_swallow_no_rows(tmp_path: Path, rows: int) -> None:
    path = write(tmp_path / "f.csv", b"a,b\n0,1\n" + b'1,"Heroes\n' * rows)
    with pytest.raises(Problem, match=r"(line 3|row 2): a quotation mark is never closed; .* part of the text: sed"):
        list(open_data(path, "items").chunks(("a",)))


def test_cells_of_several_lines_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", b'a,b\n1,"one\n""two"""\n\n2,"x" y\n')
    (chunk,) = open_data(path, "items").chunks(("a", "b"))
    assert chunk.batch.to_pydict() == {"a": ["1", "2"], "b": ['one\n"two"', "x y"]}
