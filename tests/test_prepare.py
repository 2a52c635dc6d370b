"""The stages fetch and prepare on a folder: files in, files out, one line about what is wrong."""

import importlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from retrieval.stage import run

import pyarrow.parquet as pq
import pytest
import yaml

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
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own, and a params.yaml that names it."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "interactions.csv").write_text(INTERACTIONS)
    (own / "items.csv").write_text("item_id,title\n20,B\n10,A\n30,C\n")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params |= {"data": "folder", "folder": "own"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stage(name: str, *paths: str) -> str:
    """Run a stage in this process; what it prints when it fails, else an empty string."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [f"{name}.py", *paths])
        try:
            run(importlib.import_module(name).main)
        except SystemExit as end:
            return str(end.code)
    return ""


def both() -> dict[str, Any]:
    assert stage("fetch", "raw") == ""
    assert stage("prepare", "raw", "prepared") == ""
    return json.loads(Path("prepared/stats.json").read_text())


def test_a_folder_becomes_tables_and_an_account(world: Path) -> None:
    stats = both()
    assert stats == {
        "source": "folder",
        "split": "days",
        "moment": 1615075200,  # 2021-03-07
        "interactions": {
            "in": 6,
            "kept": {"train": 3, "test": 1, "cold": 1},
            "dropped": {
                "no_watched_pct": 1, "after_the_test": 0, "repeated": 0, "seen_in_train": 0, "item_not_in_train": 0,
            },
        },
        "train": {"users": 2, "items": 2},
        "test": {"users": 1, "items": 1},
        "cold": {"users": 1, "items": 1},
        "users": {"in": 0, "kept": 0, "dropped": {"repeated": 0, "not_in_interactions": 0}},
        "items": {"in": 3, "kept": 2, "dropped": {"repeated": 0, "not_in_interactions": 1}},
    }  # fmt: skip
    train = pq.read_table(world / "prepared" / "train.parquet")
    assert [(field.name, str(field.type)) for field in train.schema] == [
        ("user_id", "int64"), ("item_id", "int64"), ("datetime", "timestamp[us]"), ("weight", "float"),
    ]  # fmt: skip
    assert train["weight"].to_pylist() == [20, 10, 0]
    assert pq.read_table(world / "prepared" / "items.parquet").to_pydict() == {"item_id": [10, 20], "title": ["A", "B"]}
    assert pq.read_table(world / "prepared" / "users.parquet").to_pydict() == {"user_id": []}


def test_the_same_input_gives_the_same_bytes(world: Path) -> None:
    both()
    first = {path.name: path.read_bytes() for path in (world / "prepared").iterdir()}
    shutil.rmtree(world / "prepared")
    both()
    assert {path.name: path.read_bytes() for path in (world / "prepared").iterdir()} == first


def test_the_manifest_names_source_rows_and_hashes(world: Path) -> None:
    both()
    manifest = json.loads((world / "raw" / "manifest.json").read_text())
    assert (manifest["source"], manifest["split"]) == ("folder", "days")
    assert {name: file["rows"] for name, file in manifest["files"].items()} == {"interactions.csv": 6, "items.csv": 3}
    assert all(len(file["sha256"]) == 64 for file in manifest["files"].values())


def test_what_a_person_sets_wins_over_the_sources_split(world: Path) -> None:
    params = yaml.safe_load((world / "params.yaml").read_text())
    params["split"]["kind"] = "leave-last"
    (world / "params.yaml").write_text(yaml.safe_dump(params))
    stats = both()
    assert stats["split"] == "leave-last"
    assert stats["interactions"]["kept"] == {"train": 3, "test": 2, "cold": 0}  # user 4 has one row: it stays in train


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("items.csv", None, "items.csv: no such file"),
        ("interactions.csv", None, "interactions.csv: no such file; data=folder expects"),
        ("items.csv", "id\n1\n", "items.csv: the column 'item_id' is missing"),
        ("users.csv", "user_id,sex\nЖ,1\n", "users.csv: column 'user_id', row 1: 'Ж' is not an integer"),
        ("interactions.csv", INTERACTIONS + "1,30,14.3.2021,1\n", "column 'last_watch_dt', row 7: '14.3.2021'"),
        ("interactions.csv", INTERACTIONS + "1,30,2021-03-14,inf\n", "column 'watched_pct', row 7: inf is not finite"),
    ],
)
def test_bad_files_end_in_one_line_and_change_nothing(world: Path, file: str, text: str | None, said: str) -> None:
    both()
    path = world / "own" / file
    path.unlink(missing_ok=True)
    if text is not None:
        path.write_text(text)
    before = {path: path.read_bytes() for path in world.rglob("*") if path.is_file()}
    line = stage("fetch", "raw")
    assert line.startswith("fetch: own/")
    assert said in line
    assert "\n" not in line
    assert {path: path.read_bytes() for path in world.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("split", {"kind": "auto", "days": 40, "last": 1, "fold": 0}, "split.days=40, split.fold=0: the test would"),
        ("split", {"kind": "day", "days": 7, "last": 1, "fold": 0}, "split.kind: 'day' is not valid: .* 'days'?"),
        ("split", {"kind": "auto", "days": 7, "last": 1}, "split.fold: is missing"),
        ("split", {"kind": "auto", "days": "1e1", "last": 1, "fold": 0}, "split.days: '1e1' is text where a number"),
        ("filter", {"enabled": True, "user_interactions": 9, "item_interactions": 9, "users": 1}, "filter.users: is"),
    ],
)
def test_bad_parameters_end_in_one_line(world: Path, key: str, value: dict[str, Any], said: str) -> None:
    both()
    params = yaml.safe_load((world / "params.yaml").read_text()) | {key: value}
    (world / "params.yaml").write_text(yaml.safe_dump(params))
    line = stage("prepare", "raw", "prepared")
    assert all(part in line for part in said.split(" .* "))
    assert "\n" not in line
    assert (world / "prepared" / "stats.json").exists()


def test_prepare_without_fetch(world: Path) -> None:
    line = stage("prepare", "raw", "prepared")
    assert line == "prepare: raw/manifest.json: no such file; run the stage fetch first"


def test_an_unknown_source_names_the_choices(world: Path) -> None:
    params = yaml.safe_load((world / "params.yaml").read_text()) | {"data": "movielens"}
    (world / "params.yaml").write_text(yaml.safe_dump(params))
    line = stage("fetch", "raw")
    assert "did you mean 'movielens-100k'?" in line
    assert "kion-synthetic" in line
