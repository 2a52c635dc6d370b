"""A company's data stay out of git, and a colleague who has pulled runs experiments without the original folder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import repositories
from repositories import dvc, run

USERS, ITEMS, ROWS = 200, 30, 8  # of the export; rows per user


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A folder outside any repository, in January 2024."""
    folder = tmp_path / "export"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = [
        f"{user},{item},2024-01-{rng.integers(1, 29):02d},100"
        for user in range(USERS)
        for item in rng.choice(ITEMS, ROWS, replace=False)
    ]
    header = "user_id,item_id,last_watch_dt,watched_pct"
    (folder / "interactions.csv").write_text("\n".join([header, *lines, ""]), encoding="utf-8")
    (folder / "items.csv").write_text("\n".join(["item_id", *map(str, range(ITEMS)), ""]), encoding="utf-8")
    return folder


def share(root: Path, *stages: str) -> None:
    """Run the pipeline up to `stages`, or all of it, and push: data to a folder `storage`, commits to `origin.git`."""
    run(root.parent, "git", "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    run(root, "git", "remote", "add", "origin", str(root.parent / "origin.git"))
    dvc(root, "repro", *stages)
    dvc(root, "remote", "add", "--default", "storage", str(root.parent / "storage"))
    repositories.commit(root, "Our data")
    dvc(root, "push")
    run(root, "git", "push", "--quiet", "--set-upstream", "origin", "main")


def clone(parent: Path) -> Path:
    run(parent, "git", "clone", "--quiet", "origin.git", "colleague")
    return parent / "colleague"


def test_git_adds_nothing_of_the_folder_but_its_readme(tmp_path):
    for name in (".gitignore", "data/.gitignore", "data/folder/README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repositories.ROOT / name, tmp_path / name)
    folder = tmp_path / "data" / "folder"
    (folder / "interactions" / "2024").mkdir(parents=True)
    for name in ("interactions.csv", "items.csv.gz", ".hidden", "README.txt", "interactions/2024/README.md", "ünï.csv"):
        (folder / name).write_text("secret")
    run(tmp_path, "git", "init", "--quiet")
    run(tmp_path, "git", "add", "--all")
    added = run(tmp_path, "git", "ls-files").stdout.split()
    assert added == [".gitignore", "data/.gitignore", "data/folder/README.md"]


def test_dvc_sees_a_change_in_the_folder_that_git_ignores(tmp_path, export):
    root = repositories.repository(tmp_path / "own", data="folder")
    shutil.copytree(export, root / "data" / "folder", dirs_exist_ok=True)
    dvc(root, "repro", "fetch")
    assert "up to date" in dvc(root, "status", "fetch")
    with (root / "data" / "folder" / "interactions.csv").open("a", encoding="utf-8") as file:
        file.write("1,2,2024-01-30,100\n")
    assert "data/folder" in dvc(root, "status", "fetch")
    assert "data/folder/interactions.csv" not in run(root, "git", "status", "--short").stdout


def test_a_colleague_prepares_the_data_in_another_way_without_the_folder(tmp_path, export):
    root = repositories.repository(tmp_path / "own", data="folder", folder=str(export))
    share(root, "prepare")
    shutil.rmtree(export)
    other = clone(tmp_path)
    dvc(other, "pull", "prepare", "--with-deps")
    output = dvc(other, "exp", "run", "--allow-missing", "--set-param", "split.days=3", "prepare")
    assert repositories.stages_run(output) == ["check", "prepare"]
    mine, theirs = (json.loads((at / "data/prepared/stats.json").read_text(encoding="utf-8")) for at in (root, other))
    assert mine != theirs


@pytest.mark.slow
def test_a_colleague_runs_an_experiment_without_the_folder_and_pushes_it(tmp_path, export):
    """The commands of README, in order."""
    root = repositories.repository(tmp_path / "own", data="folder", folder=str(export))
    share(root)
    shutil.rmtree(export)
    other = clone(tmp_path)
    dvc(other, "pull")
    assert run(other, "git", "status", "--short").stdout == ""
    output = dvc(other, "exp", "run", "--allow-missing", "--name", "bpr", "--set-param", "loss=bpr")
    assert repositories.stages_run(output) == ["check", "train_dssm", "evaluate_dssm", "index_dssm", "evaluate", "maps"]
    dvc(other, "exp", "push", "origin", "bpr")
    assert "bpr" in dvc(root, "exp", "list", "origin", "--all-commits")
    dvc(root, "exp", "pull", "origin", "bpr")
    dvc(root, "exp", "apply", "bpr")
    assert repositories.metrics(root) == repositories.metrics(other)
