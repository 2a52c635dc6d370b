"""The stage fetch on a folder: files and a manifest out, or one line that says what is wrong."""

import json
import shutil
from pathlib import Path

import fetch
from retrieval.errors import Problem
from retrieval.params import read
from retrieval.stage import sha256

import pyarrow.parquet as pq
import pytest
from repositories import set_params

ROOT = Path(__file__).resolve().parents[1]
INTERACTIONS = """user_id,item_id,last_watch_dt,watched_pct
1,10,2021-03-01,100
2,20,2021-03-14,50
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The work directory: a params.yaml with data=folder and folder=mine, and that folder."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    set_params(tmp_path, {"data": "folder", "folder": "mine"})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "interactions.csv").write_text(INTERACTIONS)
    (tmp_path / "mine" / "items.csv").write_text("item_id,title\n20,B\n10,A\n30,C\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run() -> None:
    fetch.main(read(fetch.FetchParams), Path("raw"))


def manifest(root: Path) -> dict:
    return json.loads((root / "raw" / "manifest.json").read_text())


def files(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_manifest_names_source_split_rows_and_hashes(root: Path) -> None:
    run()
    assert manifest(root) == {
        "source": "folder",
        "folder": "mine",
        "split": "days",
        "timed": True,
        "columns": None,
        "files": {
            name: {"rows": rows, "sha256": sha256(root / "raw" / name)}
            for name, rows in (("interactions.parquet", 2), ("items.parquet", 3))
        },
        "said": [],
    }
    assert pq.read_table(root / "raw" / "interactions.parquet")["user_id"].to_pylist() == [1, 2]


def test_what_was_found_is_printed_and_kept(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "mine" / "interactions.csv").write_text("user;item\n1;10\n")
    run()
    said = manifest(root)["said"]
    assert said[0] == "interactions.csv: semicolons separate the columns, user is the user, item is the item"
    assert capsys.readouterr().err.splitlines() == [f"fetch: {line}" for line in said]
    assert (manifest(root)["timed"], manifest(root)["split"]) == (False, "leave-last")


def test_built_in_sources_name_their_columns(root: Path) -> None:
    set_params(root, {"data": "kion-synthetic", "synthetic.scale": 0.0001})
    run()
    assert manifest(root)["columns"]["user"] == ["age", "income", "sex", "kids_flg", "gender", "occupation"]
    assert "genres" in manifest(root)["columns"]["item"]
    assert set(manifest(root)["files"]) == {f"{name}.parquet" for name in ("interactions", "items", "users")}


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("interactions.csv", None, "mine/items.csv: no column is recognised as the user"),
        ("items.csv", "name\n1\n", "mine/items.csv: no column is recognised as the item"),
        (
            "interactions.csv",
            INTERACTIONS + "1,30,14.3.2021,1\n",
            "mine/interactions.csv: column 'last_watch_dt', row 3: '14.3.2021' is not a time",
        ),
        (
            "interactions.csv",
            INTERACTIONS + "1,30,2021-03-14,inf\n",
            "mine/interactions.csv: column 'watched_pct', row 3: 'inf' is not finite",
        ),
    ],
)
def test_bad_files_end_in_one_line_and_change_nothing(root: Path, file: str, text: str | None, message: str) -> None:
    run()
    path = root / "mine" / file
    path.unlink(missing_ok=True)
    if text is not None:
        path.write_text(text)
    before = files(root)
    with pytest.raises(Problem) as caught:
        run()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert files(root) == before


def test_an_unknown_source_names_the_choices(root: Path) -> None:
    set_params(root, {"data": "movielens"})
    with pytest.raises(
        Problem,
        match="data: 'movielens' is not valid: expected one of movielens-100k, kion, kion-synthetic, folder; "
        "did you mean 'movielens-100k'",
    ):
        run()


def test_an_empty_name_of_a_folder_is_refused(root: Path) -> None:
    for value in ("", 5, None):
        set_params(root, {"folder": value})
        with pytest.raises(Problem, match="folder: "):
            run()
