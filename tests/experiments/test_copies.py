"""Copies of the repository: experiments run in them, and nothing that was killed there is used. A script plays DVC."""

import os
import subprocess
from pathlib import Path

from retrieval.errors import Problem
from retrieval.experiments.copies import Experiment, find, take

import pytest
from repositories import run

DVC = """#!/bin/sh
case "$1" in
  cache) echo .dvc/cache ;;
  repro) {repro} ;;
esac
"""


@pytest.fixture
def plays_dvc(base, tmp_path, monkeypatch):
    """plays_dvc(commands): what `dvc repro` does from then on."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / ".dvc").mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "test")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "test@example.com")

    def play(repro: str) -> None:
        (folder / "dvc").write_text(DVC.format(repro=repro))
        (folder / "dvc").chmod(0o755)

    return play


def experiment(base, name="one", *changes, **others):
    return Experiment(base.snapshot, name, changes, ["evaluate_dssm"], [], lambda root: None, **others)


def nothing(root):
    """A watch."""


def test_an_experiment_is_a_commit_below_its_baseline_with_what_has_run(base, plays_dvc, tmp_path):
    plays_dvc('echo "$@" > ran.txt; echo "$THREADS" >> ran.txt')
    before = run(tmp_path, "git", "status", "--porcelain").stdout
    with take() as copy:
        reference = copy.run(experiment(base, "one", "loss=bpr", "split.fold=2"), nothing, {"THREADS": "3"})
    head = base.snapshot.commit
    assert reference == find("one") == f"refs/exps/{head[:2]}/{head[2:]}/one"
    assert run(tmp_path, "git", "rev-parse", f"{reference}^").stdout.strip() == head
    assert run(tmp_path, "git", "show", f"{reference}:ran.txt").stdout == "repro evaluate_dssm\n3\n"
    params = run(tmp_path, "git", "show", f"{reference}:params.yaml").stdout
    assert "\nloss: bpr " in params
    assert "\n  fold: 2 " in params
    assert "# of all random numbers" in params, "comments stay"
    assert run(tmp_path, "git", "status", "--porcelain").stdout == before


def test_what_one_experiment_leaves_is_not_in_the_next(base, plays_dvc, tmp_path):
    plays_dvc("echo a > ran.txt; mkdir -p data; echo b > data/kept")
    with take() as copy:
        copy.run(experiment(base, "one", "loss=bpr"), nothing, {})
    plays_dvc("cat data/kept > seen.txt")
    with take() as copy:
        reference = copy.run(experiment(base, "two", "seed=1"), nothing, {})
    names = run(tmp_path, "git", "diff", "--name-only", f"{reference}^", reference).stdout.split()
    assert names == ["params.yaml", "seen.txt"], "what git ignores stays, as DVC's outputs do"
    assert "\nloss: softmax " in run(tmp_path, "git", "show", f"{reference}:params.yaml").stdout


def test_two_runs_have_two_copies_and_a_run_keeps_its_own_after_its_parent_has_gone(base, plays_dvc):
    plays_dvc("true")
    with take() as one, take() as two:
        assert one.root != two.root
        sleeper = subprocess.Popen(["sleep", "60"], pass_fds=[one.lock])
    with take() as three:
        assert three.root == two.root
    sleeper.kill()
    sleeper.wait()
    with take() as four:
        assert four.root == one.root


def test_a_copy_in_which_a_run_was_stopped_is_made_anew(base, plays_dvc, tmp_path):
    plays_dvc("mkdir -p data; touch data/half; sleep 60")

    def stop(root: Path) -> None:
        if (root / "data" / "half").exists():
            raise KeyboardInterrupt

    with take() as copy, pytest.raises(KeyboardInterrupt):
        copy.run(experiment(base), stop, {})
    assert find("one") is None
    plays_dvc("ls data > ran.txt 2>&1 || true")
    with take() as copy:
        reference = copy.run(experiment(base), nothing, {})
    assert "half" not in run(tmp_path, "git", "show", f"{reference}:ran.txt").stdout


def test_a_stage_that_fails_is_a_problem_with_its_line(base, plays_dvc):
    plays_dvc("echo train_dssm: out of memory; echo; echo \"ERROR: failed to reproduce 'train_dssm'\"; exit 1")
    with take() as copy, pytest.raises(Problem, match=r"^loss=bpr: train_dssm: out of memory$"):
        copy.run(experiment(base, "one", "loss=bpr"), nothing, {})
    plays_dvc("echo 'ERROR: lock is taken'; exit 1")
    with take() as copy, pytest.raises(Problem, match=r"^loss=bpr: ERROR: lock is taken$"):
        copy.run(experiment(base, "one", "loss=bpr"), nothing, {})


def test_ignored_inputs_are_in_the_copy(base, plays_dvc, tmp_path):
    (tmp_path / "data" / "mine").mkdir(parents=True)
    (tmp_path / "data" / "mine" / "views.csv").write_text("user,item\n")
    plays_dvc("cat data/mine/views.csv > ran.txt")
    with take() as copy:
        one = Experiment(base.snapshot, "one", [], ["evaluate_dssm"], [Path("data/mine")], lambda root: None)
        reference = copy.run(one, nothing, {})
    assert run(tmp_path, "git", "show", f"{reference}:ran.txt").stdout == "user,item\n"
