"""A folder of the user's own: read as it is, never changed, and refused in one line where it cannot be read."""

import contextlib
import json
import os
import socket
from datetime import datetime
from pathlib import Path
from typing import Any

from retrieval.errors import Problem
from retrieval.sources import folder
from retrieval.sources.mapping import AUTO, Mapping

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

KION = "user_id,item_id,last_watch_dt,total_dur,watched_pct\n1,2,2021-03-13,60,5\n3,2,2021-03-14,60,\n"
DAY = datetime(2021, 3, 13)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """An empty folder."""
    path = tmp_path / "own"
    path.mkdir()
    return path


def put(own: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (own / name).parent.mkdir(exist_ok=True)
        (own / name).write_bytes(text.encode())


def fetch(own: Path, out: Path, **mapping: str) -> Any:
    return folder.fetch(own, Mapping(**(AUTO | mapping)), out)


def rows(out: Path, name: str = "interactions") -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if key != "tie"}
        for row in pq.read_table(out / f"{name}.parquet").to_pylist()
    ]


def test_kions_files_are_read_in_silence_and_left_alone(own: Path, out: Path) -> None:
    put(own, {"interactions.csv": KION, "items.csv": "item_id,title\n2,A\n", "users.csv": "user_id,sex\n1,\n"})
    (own / "notes.txt").write_text("not data")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in own.iterdir()}
    raw = fetch(own, out)
    assert raw.rows == {"interactions.parquet": 2, "items.parquet": 1, "users.parquet": 1}
    assert (raw.timed, raw.said) == (True, [])
    assert rows(out) == [
        {"user_id": 1, "item_id": 2, "time": DAY, "value": 5, "duration": 60},
        {"user_id": 3, "item_id": 2, "time": datetime(2021, 3, 14), "value": None, "duration": 60},
    ]
    assert rows(out, "items") == [{"item_id": 2, "title": "A"}]
    assert rows(out, "users") == [{"user_id": 1, "sex": None}]
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in own.iterdir()} == before


@pytest.mark.parametrize(
    ("files", "mapping", "said"),
    [
        ({"ratings.csv": "userId,movieId,rating,timestamp\n1,2,4.5,1600000171\n"}, {}, "movieId is the item"),
        ({"events.csv": "timestamp,visitorid,event,itemid\n1433221332117,1,view,2\n"}, {}, "unix milliseconds"),
        (
            {"ml.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t2\t3\t881250949\n"},
            {},
            "tabs separate the columns, user_id:token is the user",
        ),
        ({"export.csv": "Kunde;Artikel;Datum\n1;2;13.03.2021\n"},
         {"user": "Kunde", "item": "Artikel", "time": "Datum", "time_format": "%d.%m.%Y"},
         "semicolons separate the columns"),
        ({"plays.tsv": "user\tartist\tts\n1\t2\t2021-03-13T10:00:00Z\n", "notes.md": "x"}, {}, "zones"),
        ({"parts/part-0.csv": "user,item\n1,2\n", "parts/part-1.csv": "user,item\n1,2\n"},
         {"interactions": "parts"}, "2 parts"),
        ({"part-0.csv": "user,item\n1,2\n", "part-1.csv": "user,item\n1,2\n"}, {"interactions": "."}, "2 parts"),
        ({"dump.csv": "user,item,rating\n1,2,NULL\n1,2,\\N\n"}, {}, "2 cells of NULL or \\N are missing values"),
        ({"a.csv": "user,item,time\n1,2,5\n"}, {"time_format": "s"}, "times are unix seconds"),
    ],
)  # fmt: skip
def test_exports_are_read_and_said(
    own: Path, out: Path, files: dict[str, str], mapping: dict[str, str], said: str
) -> None:
    put(own, files)
    raw = fetch(own, out, **mapping)
    assert {(row["user_id"], row["item_id"]) for row in rows(out)} == {(1, 2)}
    assert said in " ".join(raw.said)


def test_without_a_time_the_order_of_the_file_is_that_of_time(own: Path, out: Path) -> None:
    put(own, {"interactions.csv": "user,item\n1,3\n1,2\n"})
    raw = fetch(own, out)
    assert not raw.timed
    assert raw.said[-1].startswith(
        "no times: the order of the file is that of time; to name a column: mapping.time=NAME; the col"
    )
    assert [row["time"] for row in rows(out)] == [datetime(1970, 1, 1), datetime(1970, 1, 1, 0, 0, 1)]
    put(own, {"interactions.csv": KION})
    assert not fetch(own, out, time="none").timed


ODD = ["7", " 7", "007", "1.0", "Ünï/6 x", "e\u0301", "a?b&c=7"]


def test_odd_ids_are_text_exactly_as_they_were(own: Path, out: Path) -> None:
    put(own, {
        "interactions.csv": "user,item\n" + "".join(f"{id},{k}\n" for k, id in enumerate(ODD)),
        "users.csv": "user,team\n7,red\n",
        "items.csv": "item,title\n0,A\n",
    })  # fmt: skip
    raw = fetch(own, out)
    assert [row["user_id"] for row in rows(out)] == ODD
    assert [row["item_id"] for row in rows(out)] == list(range(len(ODD)))
    assert rows(out, "users") == [{"user_id": "7", "team": "red"}]
    assert rows(out, "items")[0]["item_id"] == 0
    assert raw.said[0] == "user ids are text, such as ' 7' in interactions.csv"


def test_a_text_id_in_items_makes_all_item_ids_text(own: Path, out: Path) -> None:
    put(own, {"interactions.csv": KION, "items.csv": "item_id\n2\nB7\n"})
    fetch(own, out)
    assert [row["item_id"] for row in rows(out)] == ["2", "2"]
    assert rows(out, "items") == [{"item_id": "2"}, {"item_id": "B7"}]


def test_the_first_text_id_may_come_late(own: Path, out: Path) -> None:
    lines = [f"{k},{k}" for k in range(600_000)] + ["x,y"]
    put(own, {"interactions.csv": "user_id,item_id\n" + "\n".join(lines)})
    assert fetch(own, out).rows == {"interactions.parquet": 600_001}
    table = pq.read_table(out / "interactions.parquet")
    assert table["user_id"][599_999].as_py() == "599999"
    assert table["item_id"][600_000].as_py() == "y"


def test_parquet_of_other_types(own: Path, out: Path) -> None:
    time = pa.array([DAY], pa.timestamp("ns", "UTC"))
    pq.write_table(pa.table({"uid": pa.array([1.0]), "item_id": ["a"], "ts": time}), own / "plays.parquet")
    items = {"item_id": ["a"], "genres": [["x", "y"]], "year": [1990], "new": [True], "deep": [{"a": 1}]}
    pq.write_table(pa.table(items), own / "items.parquet")
    raw = fetch(own, out)
    assert rows(out) == [{"user_id": 1, "item_id": "a", "time": DAY}]
    assert rows(out, "items") == [{"item_id": "a", "genres": ["x", "y"], "year": "1990", "new": "true"}]
    assert "items.parquet: 1 columns of structs are left out" in raw.said


TYPES = [
    pa.null(), pa.bool_(), pa.int8(), pa.uint64(), pa.float16(), pa.float64(), pa.decimal128(9, 2), pa.string(),
    pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary(4), pa.date32(), pa.date64(),
    pa.timestamp("s"), pa.timestamp("ns", "Asia/Tokyo"), pa.time32("s"), pa.time64("us"), pa.duration("s"), pa.uuid(),
    pa.dictionary(pa.int8(), pa.string()), pa.list_(pa.int8()), pa.large_list(pa.string()), pa.list_(pa.int8(), 2),
    pa.struct([("a", pa.int8())]), pa.map_(pa.string(), pa.int8()), pa.list_(pa.struct([("a", pa.int8())])),
]  # fmt: skip


def sample(kind: pa.DataType) -> pa.Array:
    """One value of a type."""
    for value in (
        b"0123456789abcdef",
        b"1234",
        "2021",
        2021,
        DAY,
        DAY.date(),
        DAY.time(),
        [1, 2],
        ["a"],
        {"a": 1},
        [{"a": 1}],
    ):
        try:
            array = pa.array([value], kind)
        except (pa.ArrowException, TypeError, ValueError):
            continue
        return array
    return pa.nulls(1, kind) if kind != pa.map_(pa.string(), pa.int8()) else pa.array([[("a", 1)]], kind)


@pytest.mark.parametrize("kind", TYPES, ids=str)
@pytest.mark.parametrize("column", ["user", "item", "time", "value", "event", "duration", "feature"])
def test_any_type_of_parquet_is_read_or_refused_in_one_line(
    own: Path, out: Path, column: str, kind: pa.DataType
) -> None:
    columns = {"user": pa.array([1]), "item": pa.array(["a"])}
    features = {"item": pa.array(["a"])}
    (features if column == "feature" else columns)[column] = sample(kind)
    pq.write_table(pa.table(columns), own / "interactions.parquet")
    pq.write_table(pa.table(features), own / "items.parquet")
    with contextlib.suppress(Problem):
        assert fetch(own, out).rows == {"interactions.parquet": 1, "items.parquet": 1}


def test_recbole_items_have_lists(own: Path, out: Path) -> None:
    put(
        own, {"ml.inter": "user_id:token\titem_id:token\n1\t2\n", "ml.item": "item_id:token\tclass:token_seq\n2\tA B\n"}
    )
    fetch(own, out)
    assert rows(out, "items") == [{"item_id": 2, "class": ["A", "B"]}]


def test_files_that_are_not_read_are_named(own: Path, out: Path) -> None:
    put(own, {"events.csv": KION, "category_tree.csv": "a,b\n", "notes.txt": "x", "README.md": "x"})
    assert "not read: category_tree.csv" in fetch(own, out).said


def test_a_long_cell_passes(own: Path, out: Path) -> None:
    put(own, {"interactions.csv": KION, "items.csv": f"item_id,title\n2,{'x' * 50_000}\n"})
    fetch(own, out)
    assert len(rows(out, "items")[0]["title"]) == 50_000


@pytest.mark.parametrize(
    ("files", "mapping", "message"),
    [
        ({"interactions.csv": KION, "items.csv": ""}, {}, r"items\.csv: the file is empty"),
        ({"interactions.csv": KION, "items.csv": "title\nA\n"}, {}, r"items\.csv: no column is recognised as the item"),
        ({"interactions.csv": KION, "items.csv": "item_id,title\n"}, {}, r"items\.csv: no rows below the header"),
        ({"interactions.csv": KION}, {"items": "films.csv"}, r"films\.csv: no such file"),
        ({"interactions.csv": KION[: KION.index("1,2")]}, {}, r"no rows below the header; expected at least one"),
        ({"interactions.csv": "1,2,2021-03-13\n"}, {}, r"first row is 1, 2, 2021-03-13; add one, .*: sed '1i user"),
        ({"interactions.csv": KION + "1,,2021-03-13,1,1\n"}, {}, r"column 'item_id', row 3 is empty; expected an id"),
        ({"interactions.csv": KION + "1,2,soon,1,1\n"}, {}, r"column 'last_watch_dt', row 3: 'soon' is not a time"),
        ({"interactions.csv": KION + "1,2,2021-03-13,1,x\n"}, {}, r"column 'watched_pct', row 3: 'x' is not a number"),
        ({"interactions.csv": KION + "1,2\n"}, {}, r"row 3 has 2 columns, the header has 5"),
        ({"interactions.csv": "id,film\n1,2\n"}, {}, r"as the user; the columns are .*: set mapping\.user=NAME"),
        ({"interactions.csv/.hidden": ""}, {}, r"interactions\.csv: a folder without parts"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_one_line(
    own: Path, out: Path, files: dict[str, str], mapping: dict[str, str], message: str
) -> None:
    put(own, files)
    with pytest.raises(Problem, match=message) as caught:
        fetch(own, out, **mapping)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value).replace(str(own), "mine")) < 600


def test_the_row_that_is_named_is_that_of_the_part(own: Path, out: Path) -> None:
    put(own, {"events/part-0.csv": KION, "events/part-1.csv": KION + "1,2,2021-03-13,1,inf\n"})
    with pytest.raises(Problem, match=r"part-1\.csv: column 'watched_pct', row 3: 'inf' is not finite"):
        fetch(own, out)


def test_pipes_sockets_and_dangling_links_are_refused(own: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(own, {"interactions.csv": KION})
    (own / "users.csv").symlink_to("nowhere.csv")
    with pytest.raises(Problem, match=r"users\.csv: a link to nowhere\.csv, which does not exist"):
        fetch(own, out)
    (own / "users.csv").unlink()
    os.mkfifo(own / "users.csv")
    with pytest.raises(Problem, match=r"users\.csv: a named pipe; expected a file or a folder of parts"):
        fetch(own, out)
    (own / "users.csv").unlink()
    monkeypatch.chdir(own)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("users.csv")
        with pytest.raises(Problem, match=r"users\.csv: a socket"):
            fetch(own, out)


def test_a_missing_folder_is_refused_by_the_check_and_by_the_fetch(own: Path, out: Path) -> None:
    mapping = Mapping(**AUTO)
    for refuse in (folder.check, lambda path, mapping: folder.fetch(path, mapping, out)):
        with pytest.raises(Problem, match=r"nowhere: no such folder; data=folder reads one: set folder=PATH"):
            refuse(own / "nowhere", mapping)
    put(own, {"interactions.csv": KION})
    folder.check(own, mapping)
    with pytest.raises(Problem, match=r"interactions\.csv: not a folder"):
        folder.check(own / "interactions.csv", mapping)


def test_the_check_finds_wrong_columns(own: Path) -> None:
    put(own, {"interactions.csv": "a,b\n1,2\n"})
    with pytest.raises(Problem, match="no column is recognised as the user"):
        folder.check(own, Mapping(**AUTO))


def test_who_has_pulled_data_raw_needs_no_folder(own: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(own)
    manifest = own / "data" / "raw" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"source": "kion"}))
    with pytest.raises(Problem, match="no such folder"):
        folder.check(own / "nowhere", Mapping(**AUTO))
    manifest.write_text(json.dumps({"source": "folder", "folder": str(own / "elsewhere")}))
    with pytest.raises(Problem, match="no such folder"):
        folder.check(own / "nowhere", Mapping(**AUTO))
    manifest.write_text(json.dumps({"source": "folder", "folder": str(own / "nowhere")}))
    folder.check(own / "nowhere", Mapping(**AUTO))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("check: warning: ")
    assert "nowhere: no such folder" in line
    assert "dvc exp run --allow-missing" in line
