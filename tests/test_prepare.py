"""The stage prepare on a folder: tables and an account of every row out, or one line that says what is wrong."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import fetch
import prepare
from retrieval.params import read
from retrieval.stage import run

import pyarrow.parquet as pq
import pytest
from repositories import set_params

ROOT = Path(__file__).resolve().parents[1]
INTERACTIONS = """user_id,item_id,last_watch_dt,watched_pct
1,10,2021-03-01,100
1,20,2021-03-02,50
2,10,2021-03-03,0
3,20,2021-03-03,
2,20,2021-03-14,100
4,20,2021-03-14,100
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The work directory: a params.yaml with data=folder, and raw/, which the stage fetch made of such a folder."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    set_params(tmp_path, {"data": "folder", "folder": "mine"})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "interactions.csv").write_text(INTERACTIONS)
    (tmp_path / "mine" / "items.csv").write_text("item_id,title\n20,B\n10,A\n30,C\n")
    monkeypatch.chdir(tmp_path)
    fetch.main(read(fetch.FetchParams), Path("raw"))
    return tmp_path


def stage(*paths: str) -> str:
    """Run the stage in this process. Returns the line with which it fails, "" if it does not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["prepare.py", *paths])
        try:
            run(prepare.main)
        except SystemExit as end:
            return str(end.code)
    return ""


def stats() -> dict[str, Any]:
    """The account of a run of the stage."""
    assert stage("raw", "prepared") == ""
    return json.loads(Path("prepared/stats.json").read_text())


def test_a_folder_becomes_tables_and_an_account(root: Path) -> None:
    assert stats() == {
        "source": "folder",
        "timed": True,
        "columns": None,
        "split": "days",
        "days": 7,
        "repeats": "drop",
        "moment": 1615075200,  # 2021-03-07
        "interactions": {
            "in": 6,
            "kept": {"train": 3, "test": 1, "cold": 1, "cold_items": 0},
            "dropped": {
                "no_value": 1, "after_the_test": 0, "repeated": 0, "seen_in_train": 0, "item_not_in_train": 0,
            },
            "copies": 0,
        },
        "train": {"users": 2, "items": 2},
        "test": {"users": 1, "items": 1},
        "cold": {"users": 1, "items": 1},
        "cold_items": {"users": 0, "items": 0},
        "users": {"in": 0, "kept": 0, "repeated": 0, "without_interaction": 0},
        "items": {"in": 3, "kept": 2, "repeated": 0, "without_interaction": 1},
        "warnings": ["the test has only 1 of 6 rows, of 1 users: the metrics will be uncertain"],
    }  # fmt: skip
    train = pq.read_table(root / "prepared" / "train.parquet")
    assert [(field.name, str(field.type)) for field in train.schema] == [
        ("user_id", "int64"), ("item_id", "int64"), ("datetime", "timestamp[us]"), ("weight", "float"),
    ]  # fmt: skip
    assert train["weight"].to_pylist() == [20, 10, 0]
    assert pq.read_table(root / "prepared" / "items.parquet").to_pydict() == {"item_id": [10, 20], "title": ["A", "B"]}
    assert pq.read_table(root / "prepared" / "new_items.parquet").to_pydict() == {"item_id": [30], "title": ["C"]}
    assert pq.read_table(root / "prepared" / "users.parquet").to_pydict() == {"user_id": []}


def test_the_same_input_gives_the_same_bytes(root: Path) -> None:
    stats()
    first = {path.name: path.read_bytes() for path in (root / "prepared").iterdir()}
    shutil.rmtree(root / "prepared")
    stats()
    assert {path.name: path.read_bytes() for path in (root / "prepared").iterdir()} == first


def test_split_kind_overrides_the_split_of_the_source(root: Path) -> None:
    set_params(root, {"split.kind": "leave-last"})
    account = stats()
    assert account["split"] == "leave-last"
    kept = {"train": 3, "test": 2, "cold": 0, "cold_items": 0}  # user 4 has one row: it is train
    assert account["interactions"]["kept"] == kept


def test_the_last_row_of_an_item_counts_and_is_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "mine" / "items.csv").write_text("item_id,title\n20,B\n10,A\n20,C\n")
    fetch.main(read(fetch.FetchParams), Path("raw"))
    assert stats()["items"]["repeated"] == 1
    assert pq.read_table("prepared/items.parquet").to_pydict() == {"item_id": [10, 20], "title": ["A", "C"]}
    said = "prepare: warning: 1 of 3 rows of items have the id of a later row: the last one counts\n"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("repeats", ["drop", "keep"])
def test_a_file_appended_to_itself_is_said(root: Path, repeats: str, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "mine" / "interactions.csv").write_text(INTERACTIONS + INTERACTIONS.split("\n", 1)[1])
    fetch.main(read(fetch.FetchParams), Path("raw"))
    set_params(root, {"split.repeats": repeats})
    assert stats()["interactions"]["copies"] == 5  # the sixth row has no value
    said = capsys.readouterr().err
    assert "warning: 5 of 12 rows have the user, item and time of an earlier row: are they in the data twice?" in said
    assert "split.repeats" not in said


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("split.days", 40, "split.days=40, split.fold=0: the test would begin 40 days before the last interaction"),
        ("split.kind", "day", "split.kind: 'day' is not valid: expected one of auto, days, leave-last; did you mean"),
        ("split.days", "1e1", "split.days: '1e1' is text, expected a number: write 10, without quotes"),
        (
            "engine",
            "duck",
            "engine: 'duck' is not valid: expected duckdb, or a Spark master such as local[2] or spark://",
        ),
        ("positives.events", "buy", "positives.events: 'buy' is not a list: write [buy]"),
        ("filter.users", 1, "filter.users: unknown key; expected one of enabled, user_interactions, item_interactions"),
        ("filter", {"enabled": False}, "filter.user_interactions: required; filter.item_interactions: required"),
    ],
)
def test_bad_parameters_end_in_one_line(root: Path, key: str, value: Any, message: str) -> None:
    stats()
    set_params(root, {key: value})
    line = stage("raw", "prepared")
    assert line.startswith("prepare: ")
    assert message in line
    assert "\n" not in line
    assert (root / "prepared" / "stats.json").exists()


def test_prepare_without_fetch(root: Path) -> None:
    shutil.rmtree(root / "raw")
    assert stage("raw", "prepared") == "prepare: raw/manifest.json: no such file; run the stage fetch first"
