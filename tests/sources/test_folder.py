"""A folder of the user's own: copied, never changed, and refused in one line if it is invalid."""

from pathlib import Path

from retrieval.errors import Problem
from retrieval.sources import folder

import pytest


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with the two required files."""
    path = tmp_path / "own"
    path.mkdir()
    (path / "interactions.csv").write_text("user_id,item_id,last_watch_dt,watched_pct,more\n1,2,2021-03-13,5,x\n")
    (path / "items.csv").write_text("item_id\n2\n3\n")
    return path


def test_a_folder_is_copied_and_left_alone(own: Path, out: Path) -> None:
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in own.iterdir()}
    assert folder.fetch(own, out) == {"interactions.csv": 1, "items.csv": 2}
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {p.name: b for p, (b, _) in before.items()}
    assert all(not path.is_symlink() and path.stat().st_nlink == 1 for path in out.iterdir())
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in own.iterdir()} == before


def test_users_are_copied_and_other_files_are_not(own: Path, out: Path) -> None:
    (own / "users.csv").write_text("user_id,team\n1,red\n")
    (own / "notes.txt").write_text("not of the schema")
    assert folder.fetch(own, out)["users.csv"] == 1
    assert sorted(path.name for path in out.iterdir()) == ["interactions.csv", "items.csv", "users.csv"]


def test_an_invalid_file_is_refused(own: Path, out: Path) -> None:
    (own / "items.csv").write_text("id\n2\n")
    with pytest.raises(Problem, match=r"own/items\.csv: column 'item_id' is missing"):
        folder.fetch(own, out)


def test_a_missing_folder_is_refused_by_the_check_and_by_the_fetch(own: Path, out: Path) -> None:
    message = r"nowhere/interactions\.csv: no such file; data=folder expects .*: set folder=PATH to the folder .*$"
    for refuse in (folder.check, lambda path: folder.fetch(path, out)):
        with pytest.raises(Problem, match=message):
            refuse(own / "nowhere")
    folder.check(own)
