"""The stage fetch on a folder: files and a manifest out, or one line that says what is wrong."""

import json
import shutil
from pathlib import Path

import fetch
from retrieval.errors import Problem
from retrieval.params import read
from retrieval.stage import sha256

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


def files(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_manifest_names_source_split_rows_and_hashes(root: Path) -> None:
    run()
    manifest = json.loads((root / "raw" / "manifest.json").read_text())
    assert manifest == {
        "source": "folder",
        "split": "days",
        "files": {
            name: {"rows": rows, "sha256": sha256(root / "mine" / name)}
            for name, rows in (("interactions.csv", 2), ("items.csv", 3))
        },
    }
    assert (root / "raw" / "interactions.csv").read_text() == INTERACTIONS


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("items.csv", None, "items.csv: no such file"),
        ("interactions.csv", None, "interactions.csv: no such file; data=folder expects"),
        ("items.csv", "id\n1\n", "items.csv: column 'item_id' is missing"),
        ("users.csv", "user_id,sex\nЖ,1\n", "users.csv: column 'user_id', row 1: 'Ж' is not an integer"),
        (
            "interactions.csv",
            INTERACTIONS + "1,30,14.3.2021,1\n",
            "interactions.csv: column 'last_watch_dt', row 3: '14.3.2021' is not a date",
        ),
        (
            "interactions.csv",
            INTERACTIONS + "1,30,2021-03-14,inf\n",
            "interactions.csv: column 'watched_pct', row 3: inf is not finite",
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
    assert str(caught.value).startswith(f"mine/{message}")
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
