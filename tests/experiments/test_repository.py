"""Calls to git and DVC."""

from pathlib import Path

from retrieval.errors import Problem
from retrieval.experiments.repository import call, clone, flat

import pytest
from repositories import python, run


def test_sections_become_names_with_dots():
    assert flat({"a": 1, "b": {"c": [2], "d": {"e": None}}}) == {"a": 1, "b.c": [2], "b.d.e": None}


def test_a_command_that_fails_is_a_problem_with_its_last_line(tmp_path: Path):
    assert call("git", "init", "--quiet", str(tmp_path)) == ""
    with pytest.raises(Problem, match=r"^git rev-parse --verify nowhere: fatal: Needed a single revision$"):
        call("git", "rev-parse", "--verify", "nowhere", root=tmp_path)
    with pytest.raises(Problem, match=r"^false: exit code 1$"):
        call("false")


def test_an_error_of_dvc_is_its_own_line_and_not_its_footer(experimented):
    message = python(experimented, "-m", "retrieval.experiments.pull_request", "nowhere", code=1).stderr.splitlines()[
        -1
    ]
    assert "nowhere" in message.split("ERROR:")[1]


def test_a_clone_is_of_the_revision_and_temporary(finished, monkeypatch):
    monkeypatch.chdir(finished)
    with clone("HEAD~1") as root:
        assert run(root, "git", "rev-parse", "HEAD").stdout == run(finished, "git", "rev-parse", "HEAD~1").stdout
        assert not (root / "dvc.lock").exists()
        assert not (root / ".dvc" / "cache").exists()
    assert not root.exists()


def test_an_unknown_revision_is_refused_with_the_nearest_branch_or_tag(base, tmp_path):
    run(tmp_path, "git", "tag", "v1.0")
    with (
        pytest.raises(Problem, match=r"^mian: no such commit, .* HEAD, main, v1.0; did you mean 'main'\?$"),
        clone("mian"),
    ):
        pass
