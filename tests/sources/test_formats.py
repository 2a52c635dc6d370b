"""What a file is: separators, compression, and the one line about everything that is not read."""

import bz2
import gzip
import io
import subprocess
import zipfile
from pathlib import Path

from retrieval.errors import Problem
from retrieval.sources.formats import looks_like_data, sniff

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("ratings.csv", "user,item\n1,2\n")
    return buffer.getvalue()


def feather() -> bytes:
    buffer = io.BytesIO()
    pyarrow.feather.write_feather(pa.table({"a": [1]}), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "columns", "separator"),
    [
        (b"a,b\n1,2\n", ("a", "b"), ","),
        (b"a;b\n1;2\n", ("a", "b"), ";"),
        (b"a\tb\r\n1\t2\r\n", ("a", "b"), "\t"),
        (b"a|b\n1|2\n", ("a", "b"), "|"),
        (b'"x,y,z";b;c\n', ("x,y,z", "b", "c"), ";"),
        (b'"x\ny",b\n', ("x\ny", "b"), ","),
        (b"\xef\xbb\xbfa,b\n1,2\n", ("a", "b"), ","),
        (b"\n\na,b\n1,2\n", ("a", "b"), ","),
        (b"a,b\r1,2\r", ("a", "b"), ","),
        (b"only\n1\n", ("only",), ","),
        ("имя,ключ\n".encode(), ("имя", "ключ"), ","),
    ],
)
def test_separators_are_found_in_the_header(tmp_path: Path, data: bytes, columns: tuple, separator: str) -> None:
    (tmp_path / "f.csv").write_bytes(data)
    found = sniff(tmp_path / "f.csv", "interactions")
    assert (found.columns, found.separator) == (columns, separator)


@pytest.mark.parametrize(
    ("pack", "name"),
    [
        (gzip.compress, "gzip"),
        (bz2.compress, "bz2"),
        (lambda data: bytes(pa.compress(data, "zstd", asbytes=True)), "zstd"),
    ],
)
def test_compression_is_found_in_the_bytes_not_in_the_name(tmp_path: Path, pack, name: str) -> None:
    (tmp_path / "f.csv").write_bytes(pack(b"a,b\n1,2\n"))
    found = sniff(tmp_path / "f.csv", "interactions")
    assert (found.columns, found.compression) == (("a", "b"), name)


def test_parquet_has_a_schema(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1], "b": ["x"]}), tmp_path / "f.csv")
    found = sniff(tmp_path / "f.csv", "interactions")
    assert found.columns == ("a", "b")
    assert found.schema is not None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"\n \n", "the file is empty"),
        (gzip.compress(b"", mtime=0), "the file is empty"),
        (b"user,user\n1,2\n", "column 'user' appears twice in the header"),
        (zipped(), r"a zip file \(or an Excel file\): unpack it, or save it as CSV; expected CSV or parquet"),
        (feather(), r"an Arrow \(Feather\) file"),
        (b"\xfd7zXZ\0\0", "compressed with xz"),
        (b"SQLite format 3\0", "an SQLite file: export the tables as CSV"),
        (
            b'{"user": 1}\n{"user": 2}\n',
            r"JSON, expected CSV or parquet; .* pandas\.read_json\(\".*/f\.csv\", lines=True, dtype=False",
        ),
        (b'[{"user": 1}]', "JSON"),
        ("user,item\nя,1\n".encode("utf-16"), "the encoding is UTF-16, expected UTF-8; convert it: iconv -f UTF-16"),
        ("user,item\n1,2\n".encode("utf-16-le"), "the encoding is UTF-16"),
        ("user,item\nшильд,фильм\n".encode("cp1251"), r"it looks like Windows-1251 \(Cyrillic\); .* iconv -f CP1251"),
        (
            "user,item\ncafé,naïve\n".encode("latin-1"),
            r"it looks like Windows-1252 \(Western European\); .* iconv -f CP1252",
        ),
        (b"user,item\n1,a\x00b\n", "line 2 contains a NUL byte"),
        (b"1::1193::5::978300760\n", r"separated by '::'.*: sed -e 's/::/\\t/g' -e '1i user_id\\titem_id\\trating\\t"),
        (b"PAR1 but no parquet", "cannot be read: "),
        (gzip.compress(b"user,item\n1,2\n", mtime=0)[:-12], "cannot be read: "),
        (b"x" * (2 << 20), r"the header is longer than 1 MB"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(data)
    with pytest.raises(Problem, match=message) as caught:
        sniff(path, "interactions")
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["f.parquet", "F.PQ", "part-0.snappy.parquet"])
def test_text_that_is_called_parquet_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(Problem) as caught:
        sniff(path, "interactions")
    assert str(caught.value) == (
        f"{path}: not a parquet file: it begins with 'version https://git-lfs.github'; a CSV file needs the ending .csv"
    )


def test_the_command_for_double_colons_works(tmp_path: Path) -> None:
    path = tmp_path / "ratings.dat"
    path.write_text("1::1193::5::978300760\n2::661::3::978302109\n")
    with pytest.raises(Problem) as caught:
        sniff(path, "interactions")
    command = str(caught.value).split("header: ")[1]
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    assert (tmp_path / "interactions.csv").read_text().splitlines()[:2] == [
        "user_id\titem_id\trating\ttimestamp",
        "1\t1193\t5\t978300760",
    ]
    assert sniff(tmp_path / "interactions.csv", "interactions").columns == ("user_id", "item_id", "rating", "timestamp")


def test_names_that_look_like_data() -> None:
    assert looks_like_data(("user", "2020-09-13 12:29:31"))
    assert looks_like_data(("B00", "4.5"))
    assert looks_like_data(("user_000001", "2009-05-04T23:08:57Z"))
    assert not looks_like_data(("user", "item_2", "c3", ""))
