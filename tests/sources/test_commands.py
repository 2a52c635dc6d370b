"""The commands that errors name: they are run as they are."""

import gzip
import json
from pathlib import Path

from retrieval.sources.commands import add_header, join_partitions, remove_quotes, remove_rows, turn_json_into_parquet
from retrieval.sources.formats import looks_like_data, sniff

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import repositories


def sh(folder: Path, command: str) -> None:
    repositories.run(folder, "sh", "-euc", command)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("row", "header"),
    [
        (b"196\t242\t3\t881250949\n", b"user_id\titem_id\trating\ttimestamp\n"),
        (b"1;Dota;purchase;1.0;0\n", b"user_id;item_id;column_3;column_4;column_5\n"),
        (b"1,2,2021-03-13\n", b"user_id,item_id,timestamp\n"),
        (b"2021-03-13 10:00:00,1,2\n", b"timestamp,user_id,item_id\n"),
        (b"u1\t2009-05-04T23:08:57Z\ta\tArtist\n", b"user_id\ttimestamp\titem_id\tcolumn_4\n"),
    ],
)
def test_the_command_that_adds_a_header_works(tmp_path: Path, row: bytes, header: bytes, packed: bool) -> None:
    path = tmp_path / "u.data"
    path.write_bytes(gzip.compress(row) if packed else row)
    found = sniff(path, "interactions")
    assert looks_like_data(found.columns)
    sh(tmp_path, add_header(path, found.columns, found.separator, "interactions"))
    assert (tmp_path / "interactions.csv").read_bytes() == header + row


@pytest.mark.parametrize("lines", [True, False])
def test_ids_in_json_stay_as_they_are(tmp_path: Path, lines: bool) -> None:
    rows = [{"user": "007", "item": 7, "timestamp": 1588687728, "date": "2020-05-05"}, {"user": "8", "item": 8}]
    path = tmp_path / "reviews.json"
    path.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows))
    sh(tmp_path, turn_json_into_parquet(path, lines, "interactions"))
    table = pq.read_table(tmp_path / "interactions.parquet")
    assert table["user"].to_pylist() == ["007", "8"]
    assert table["item"].to_pylist() == [7, 8]
    assert table["timestamp"].to_pylist() == [1588687728, None]
    assert table["date"].to_pylist() == ["2020-05-05", None]


@pytest.mark.parametrize("name", ["events.csv", "interactions.csv", "events.parquet"])
def test_rows_without_an_id_are_removed(tmp_path: Path, name: str) -> None:
    path, column = tmp_path / name, "it's"
    cells = {"user": ["01", "02", "NA"], column: ["a;'b", None, "c"]}
    if name.endswith("csv"):
        path.write_text(f'user;{column}\n01;"a;\'b"\n02;\nNA;c\n')
    else:
        pq.write_table(pa.table(cells), path)
    sh(tmp_path, remove_rows(path, column, None if name.endswith("parquet") else ";", "interactions"))
    out = tmp_path / f"interactions.{name.split('.')[1]}"
    assert path.exists() if path != out else (tmp_path / f".{name}.before").exists()
    if name.endswith("csv"):
        assert out.read_text() == f"user,{column}\n01,a;'b\nNA,c\n"
    else:
        assert pq.read_table(out).to_pydict() == {"user": ["01", "NA"], column: ["a;'b", "c"]}


def test_the_original_outlives_a_second_repair_and_a_command_that_is_run_twice(tmp_path: Path) -> None:
    path = tmp_path / "interactions.csv"
    path.write_text('1,"2"\n')
    for command in (remove_quotes(path, "interactions"), add_header(path, ["1", "2"], ",", "interactions")):
        sh(tmp_path, command)
        sh(tmp_path, command)
    assert path.read_text() == "user_id,item_id\nuser_id,item_id\n1,2\n"
    assert '1,"2"\n' in [kept.read_text() for kept in tmp_path.glob(".interactions.csv.before*")]


def test_a_file_that_has_the_name_of_the_result_is_kept(tmp_path: Path) -> None:
    path, other = tmp_path / "events.json", tmp_path / "interactions.parquet"
    path.write_text('[{"user": 1}]')
    other.write_text("other")
    sh(tmp_path, turn_json_into_parquet(path, False, "interactions"))
    assert pq.read_table(other).to_pydict() == {"user": [1]}
    assert (tmp_path / ".interactions.parquet.before").read_text() == "other"


def test_commands_are_run_outside_the_folder_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path('it\'s "mine" $HOME')
    (folder / "items" / "part=1").mkdir(parents=True)
    (folder / "reviews.json").write_text('[{"user": 1, "item": null}]')
    pq.write_table(pa.table({"id": [1, None]}), folder / "items" / "part=1" / "0.parquet")
    for _ in range(2):
        (folder / "interactions.csv").write_text("user\n1\n")
        sh(tmp_path, turn_json_into_parquet(folder / "reviews.json", False, "interactions"))
        sh(tmp_path, remove_rows(folder / "interactions.parquet", "item", None, "interactions"))
        sh(tmp_path, remove_rows(folder / "interactions.csv", "user", ",", "interactions"))
        sh(tmp_path, remove_quotes(folder / "interactions.csv", "interactions"))
        sh(tmp_path, join_partitions(folder / "items"))
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == [
        "interactions.csv",
        "interactions.parquet",
        "items",
        "items.parquet",
        "reviews.json",
    ]
