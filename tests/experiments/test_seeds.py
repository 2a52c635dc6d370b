"""The commands verify and seeds, and run cards, with the real DVC."""

import json
import math

from retrieval.experiments.lock import whole
from retrieval.experiments.seeds import summarise
from retrieval.experiments.verify import farthest

import numpy as np
import pytest
from repositories import dvc, python, run, set_params, stages_run


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": [1, 2.0]}, {"a": [1, 2.0]}, (0.0, "")),
        ({"a": 0.5, "b": 0.1}, {"a": 0.5, "b": 0.2}, (1.0, "b was 0.1 and is 0.2")),
        (
            {"x": {"m": 0.02}, "y": {"m": 0.01}},
            {"x": {"m": 0.02}, "y": {"m": 0.005}},
            (0.25, "y.m was 0.01 and is 0.005"),
        ),
        ({"a": 0}, {"a": 0.1}, (math.inf, "a was 0 and is 0.1")),
        ({"a": [10.0]}, {"a": [11.0]}, (0.1, "a[0] was 10.0 and is 11.0")),
        ({"a": "x"}, {"a": "y"}, (math.inf, 'a was "x" and is "y"')),
        ({"a": 1}, {"b": 1}, (math.inf, 'the file was {"a": 1} and is {"b": 1}')),
        ([1, 2], [1], (math.inf, "the file was [1, 2] and is [1]")),
        ([True], [1.0], (0.0, "")),
    ],
)
def test_the_farthest_difference_is_told_with_its_place(old, new, expected):
    worst, where = farthest(old, new)
    assert worst == pytest.approx(expected[0])
    assert where == expected[1]


def test_seeds_by_hand():
    """Means 0.5 and 1.5: mean 1, deviation sqrt(0.5). A user's mean over the seeds is 1, 1; the other has 0.5, 0.7:
    the differences 0.5 and 0.3 have the mean 0.4 and a bootstrap that never is at or below 0."""
    runs = [{"map": np.array([0.0, 1.0])}, {"map": np.array([2.0, 1.0])}]
    line = summarise(runs, {"map": np.array([0.5, 0.7])}, 200, 0)["map"]
    assert line["mean"] == pytest.approx(1.0)
    assert line["deviation"] == pytest.approx(math.sqrt(0.5))
    assert line["difference"] == pytest.approx(0.4)
    assert (line["low"], line["high"]) == (pytest.approx(0.3), pytest.approx(0.5))
    assert line["p_not_better"] == 0


def test_seeds_compares_a_configuration_with_an_experiment(experimented):
    command = ["-m", "retrieval.experiments.seeds", "--seeds", "2", "--json"]
    report = json.loads(python(experimented, *command, "--against", "other").stdout)
    assert report["map@10"]["deviation"] > 0
    assert report["map@10"]["low"] < report["map@10"]["difference"] < report["map@10"]["high"]
    assert "difference" not in report["coverage@10"], "it is of all users together"
    assert run(experimented, "git", "status", "--porcelain").stdout == ""
    refused = python(experimented, *command, "-S", "losses.margn=1", code=1)
    assert refused.stderr == (
        "-S losses.margn=1: there is no such key; expected one of margin, ccl_margin, ccl_weight, gbce_t; "
        "did you mean 'margin'?\n"
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("loss", "-S loss: expected KEY=VALUE"),
        ("loss.f=1", "-S loss.f=1: loss is a value and no section"),
        ("towers.widht=3", "did you mean 'width'?"),
        ("lightfm.epochs=3", "is no parameter of train_dssm"),
    ],
)
def test_seeds_refuses_what_is_no_setting_of_the_towers(experimented, change, reason):
    assert reason in python(experimented, "-m", "retrieval.experiments.seeds", "-n", "1", "-S", change, code=1).stderr


def test_seeds_refuses_a_model_of_another_fold(experimented):
    """It was trained on what is the test here; what only the towers read may differ."""
    set_params(experimented, {"split.fold": 1, "loss": "bpr"})
    try:
        command = ["-m", "retrieval.experiments.seeds", "-n", "1", "--against", "other"]
        message = python(experimented, *command, code=1).stderr
    finally:
        run(experimented, "git", "checkout", "params.yaml")
    assert message == (
        "--against other: split.fold is 0 there and 1 here; expected a model of the same data and split\n"
    )


def test_a_dvc_error_is_its_own_line_and_not_dvcs_footer(experimented):
    command = ["-m", "retrieval.experiments.seeds", "-n", "1", "--against", "nowhere"]
    message = python(experimented, *command, code=1).stderr.splitlines()[-1]
    assert "nowhere" in message.split("ERROR:")[1]


def test_the_run_card_says_what_made_the_model(project):
    card = json.loads((project / "models" / "dssm.run.json").read_text(encoding="utf-8"))
    assert card["git"] == {"revision": run(project, "git", "rev-parse", "HEAD~1").stdout.strip(), "changed": []}
    assert card["params"]["loss"] == "softmax"
    assert set(card["data"]) == {"data/features"}
    assert {"torch", "dvc", "numpy"} <= set(card["packages"])
    assert set(card["threads"].values()) == {1}
    assert card["seconds"] > 0
    set_params(project, {"train.epochs": 1})
    run(project, "python", "src/train_dssm.py", "data/features", "models/dssm", "models/dssm.run.json")
    again = json.loads((project / "models" / "dssm.run.json").read_text(encoding="utf-8"))
    assert again["git"]["changed"] == ["params.yaml"]
    assert again["params"]["train"]["epochs"] == 1
    assert again["data"] == card["data"]


@pytest.mark.slow
def test_verify_runs_a_revision_from_nothing(project):
    command = ["-m", "retrieval.experiments.verify"]
    assert "HEAD: equal (" in python(project, *command).stdout
    path = project / "metrics" / "metrics.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"map@10": 0.', '"map@10": 0.9', 1), encoding="utf-8")
    run(project, "git", "commit", "--all", "--message", "A better number")
    done = python(project, *command, code=1)
    assert "different            metrics/metrics.json: dssm.map@10 was 0.9" in done.stdout


def test_a_torn_lock_is_mended_with_gits_and_a_whole_one_left_alone(project):
    lock = project / "dvc.lock"
    text = lock.read_text(encoding="utf-8")
    assert whole(text)
    mend = ("-m", "retrieval.experiments.lock")
    lock.write_text(text + "\n", encoding="utf-8")
    assert python(project, *mend).stdout == ""
    assert lock.read_text(encoding="utf-8") == text + "\n"
    lock.write_text(text[: text.rindex("path: ") + len("path:")], encoding="utf-8")
    assert "validation failed" in dvc(project, "status", code=1)
    assert python(project, *mend).stdout.startswith("dvc.lock: was torn when a run was killed; git's is put back")
    assert lock.read_text(encoding="utf-8") == text
    assert stages_run(dvc(project, "repro")) == []


def test_a_torn_rwlock_is_taken_away_and_a_whole_one_left_alone(project):
    dvc(project, "repro")
    running, mend = project / ".dvc" / "tmp" / "rwlock", ("-m", "retrieval.experiments.lock")
    whole_one = running.read_bytes()
    assert python(project, *mend).stdout == ""
    assert running.read_bytes() == whole_one
    running.write_text('{"write": {"/data": {"pid": 1, "c', encoding="utf-8")
    assert "rwlock" in dvc(project, "repro", "--force", "--single-item", "check", code=255)
    assert "was torn when a run was killed; it is taken away" in python(project, *mend).stdout
    assert stages_run(dvc(project, "repro")) == []
