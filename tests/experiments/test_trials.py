"""Trials: parameters that are set and checked, and names that are equal if and only if the results are."""

from pathlib import Path

from retrieval.errors import Problem
from retrieval.experiments.arguments import models
from retrieval.experiments.repository import work_tree
from retrieval.experiments.trials import Trial, set_params, trial_of

import pytest
from repositories import run


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("loss", "loss: expected NAME=VALUE"),
        ("loss.f=1", "loss.f=1: loss is a value, not a section"),
        ("loss=[", "loss=\\[: '\\[' is not valid YAML"),
        ("towers.widht=3", "did you mean 'width'?"),
    ],
)
def test_an_invalid_change_is_refused(base, change, reason):
    with pytest.raises(Problem, match=reason):
        base.changed([change]).params  # noqa: B018


def test_the_last_change_of_a_parameter_counts():
    values = set_params({"a": 1, "b": {"c": 2}}, ["b.c=3", "a=null", "b.c=[4]"])
    assert values == {"a": None, "b": {"c": [4]}}


def test_a_name_stands_for_code_and_parameters_however_they_are_written(base, tmp_path):
    assert base.at(1).name.startswith("dssm-fold1-")
    same = [base.at(1), base.changed(["split.fold=1"]), base.changed(["loss=bpr", "split.fold=1", "loss=softmax"])]
    assert len({trial.name for trial in same}) == 1
    others = [base, base.at(2), base.at(1).changed(["loss=bpr"]), Trial(base.snapshot, "ease", ("split.fold=1",))]
    assert len({trial.name for trial in [*same, *others]}) == 5
    (tmp_path / "notes.md").write_text("a new file that decides nothing")
    assert Trial(work_tree(), "dssm", ()).name == base.name
    (tmp_path / "src" / "new.py").write_text("a = 1")
    assert Trial(work_tree(), "dssm", ()).name != base.name


def test_files_of_the_user_are_part_of_the_name(base, tmp_path):
    trial = base.changed(["data=folder", "folder=mine"])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "views.csv").write_text("user,item\n1,2\n")
    before = base.changed(trial.changes).name
    assert base.changed(trial.changes).name == before
    (tmp_path / "mine" / "views.csv").write_text("user,item\n1,3\n1,4\n")
    assert base.changed(trial.changes).name != before
    assert trial.inputs == [Path("mine")]


def test_the_work_tree_is_only_read(base, tmp_path):
    (tmp_path / "notes.md").write_text("a new file")
    (tmp_path / "params.yaml").open("a").write("# changed\n")
    before = run(tmp_path, "git", "status", "--porcelain").stdout
    assert work_tree().read("notes.md") == "a new file"
    assert run(tmp_path, "git", "status", "--porcelain").stdout == before


def test_a_trial_of_sasrec_switches_it_on(base):
    pytest.importorskip("pytorch_lightning")
    trial = trial_of(base.snapshot, "sasrec").changed(["sasrec.epochs=2"]).at(1)
    assert trial.changes == ("peers=[sasrec]", "sasrec.epochs=2", "split.fold=1")
    assert trial.params["peers"] == ["sasrec"]
    assert trial.experiment.targets == ["peers/dvc.yaml:evaluate@sasrec"]
    assert "sasrec" in models(base.snapshot)
    assert trial_of(base.snapshot, "dssm") == base
