"""Two processes write what one writes, byte for byte."""

import os
import subprocess
import sys
from pathlib import Path

import evaluate_model
from retrieval import histories, recommend
from retrieval.evaluation.joining import SETTINGS, VALUES
from retrieval.params import read
from retrieval.ranking import rank
from retrieval.torchrun import Processes

import numpy as np
import pandas as pd
import pytest
from worlds import ROOT, write_world

SRC = ROOT / "src"
FOLDERS = ("prepared", "features", "models/dssm")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world with a test period, in which there are new users and new items, too."""
    root = write_world(tmp_path_factory.mktemp("torchrun"))
    data, tables, rng = histories.load(root / "features"), root / "prepared", np.random.default_rng(0)
    user, item = rng.permutation(np.argwhere(data.seen.toarray() == 0))[:300].T
    test = pd.DataFrame({"user_id": data.user_ids[user], "item_id": data.item_ids[item]})
    cold = test.assign(user_id=test["user_id"] + 1)
    about = {"user_id": cold["user_id"].unique(), "age": "old", "sex": "F"}
    new = pd.read_parquet(tables / "new_items.parquet")["item_id"]
    for name, table in (("test", test), ("cold", cold), ("users", pd.DataFrame(about))):
        table.to_parquet(tables / f"{name}.parquet")
    test[::9].assign(item_id=rng.choice(new, len(test[::9]))).to_parquet(tables / "cold_items.parquet")
    (root / "params.yaml").symlink_to(ROOT / "params.yaml")
    return root


def torchrun(root: Path, *command: object) -> None:
    """Run it by two processes, in the folder `root`."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(SRC)}
    command = [*start, *map(str, command)]
    run = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=1200)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("users", [7, 2])
def test_each_process_ranks_for_its_share_of_the_users_alone(users: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three processes, with fewer users than processes, too: their shares, one after the other, are all lists."""
    left, right = np.random.default_rng(0).random((2, 9, 4), np.float32)
    order = np.arange(9)[::-1][:users]
    shares = []
    monkeypatch.setattr(Processes, "join", lambda self, mine, count: shares.append(mine) or np.empty(0))
    for process in range(3):
        processes = Processes()
        processes.rank, processes.count = process, 3
        rank(left, right, order, 5, processes=processes)
    whole = rank(left, right, order, 5)
    assert max(map(len, shares)) == -(-users // 3)
    np.testing.assert_array_equal(np.concatenate(shares[::2]), whole.items)
    np.testing.assert_array_equal(np.concatenate(shares[1::2]), whole.scores)


def test_evaluation_by_two_processes_writes_the_files_of_one(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world)
    evaluate_model.main(read(evaluate_model.EvaluateModelParams), *map(Path, FOLDERS), Path("one"))
    torchrun(world, SRC / "evaluate_model.py", *FOLDERS, "two")
    one, two = (
        {str(file.relative_to(name)): file.read_bytes() for file in Path(name).rglob("*") if file.is_file()}
        for name in ("one", "two")
    )
    assert one == two
    assert {VALUES, *SETTINGS} <= {name.removesuffix(".npz") for name in one}
    assert len(one["metrics/cold.json"]) > len("{}\n")


def test_recommendations_by_two_processes_are_the_file_of_one(world: Path) -> None:
    recommend.main(["--models", str(world / "models"), "--out", str(world / "one.parquet")])
    torchrun(world, "-m", "retrieval.recommend", "--out", "two.parquet")
    assert (world / "one.parquet").read_bytes() == (world / "two.parquet").read_bytes()


def test_recommendations_end_at_once(world: Path, tmp_path: Path) -> None:
    """Threads of libraries that outlive their work can abort a process in what it does on its way out."""
    left = tmp_path / "left"
    code = f"import atexit, pathlib; atexit.register(pathlib.Path({str(left)!r}).touch)"
    (tmp_path / "sitecustomize.py").write_text(code, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{SRC}"}
    for arguments, ends_late in ((["--out", "three.parquet"], False), (["--help"], True)):
        command = [sys.executable, "-m", "retrieval.recommend", *arguments]
        subprocess.run(command, cwd=world, env=environment, capture_output=True, check=True)
        assert left.exists() == ends_late
    assert (world / "three.parquet").exists()
