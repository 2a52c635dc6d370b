"""The command seeds: the summary by hand, and the command with the real DVC."""

import json
import math
import shutil
from pathlib import Path

from retrieval.experiments.seeds import render, summarise

import numpy as np
import pytest
from repositories import python, run, set_params

COMMAND = ("-m", "retrieval.experiments.seeds")


def test_a_summary_by_hand():
    """The seeds have the means 0.5 and 1.5, so the mean is 1 and the deviation sqrt(0.5).

    Both users have the mean 1 over the seeds and 0.5 and 0.7 in the other model: the differences 0.5 and 0.3 have the
    mean 0.4, and no bootstrap sample is at or below 0.
    """
    runs = [{"map": np.array([0.0, 1.0])}, {"map": np.array([2.0, 1.0])}]
    line = summarise(runs, {"map": np.array([0.5, 0.7])}, 200, 0)["map"]
    assert line["mean"] == pytest.approx(1.0)
    assert line["deviation"] == pytest.approx(math.sqrt(0.5))
    assert line["difference"] == pytest.approx(0.4)
    assert (line["low"], line["high"]) == (pytest.approx(0.3), pytest.approx(0.5))
    assert line["p_not_better"] == 0


def test_one_seed_has_no_deviation_and_without_another_model_there_is_no_comparison():
    report = summarise([{"map": np.array([0.0, 1.0])}], None, 200, 0)
    assert report == {"map": {"mean": 0.5, "deviation": 0.0}}
    assert render(report, None).splitlines()[0].split() == ["metric", "mean", "deviation"]
    assert render(report, None).splitlines()[2].split() == ["map", "0.5000", "0.0000"]


def test_the_command_compares_a_configuration_with_an_experiment(experimented, tmp_path):
    command = [*COMMAND, "--seeds", "2", "--json"]
    out = tmp_path / "seeds.json"
    report = json.loads(python(experimented, *command, "--against", "other", "--out", str(out)).stdout)
    written = json.loads(out.read_text(encoding="utf-8"))
    assert written["seeds"] == 2
    assert written["dssm"]["map@10"]["mean"] == pytest.approx(report["map@10"]["mean"], rel=1e-5)
    assert report["map@10"]["deviation"] > 0
    assert report["map@10"]["low"] < report["map@10"]["difference"] < report["map@10"]["high"]
    assert "difference" not in report["coverage@10"], "it is one number for all users"
    assert run(experimented, "git", "status", "--porcelain").stdout == ""
    refusal = python(experimented, *command, "-S", "losses.margn=1", code=1)
    assert refusal.stderr == (
        "-S losses.margn=1: unknown key; expected one of margin, ccl_margin, ccl_weight, gbce_t; "
        "did you mean 'margin'?\n"
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("loss", "-S loss: expected KEY=VALUE"),
        ("loss.f=1", "-S loss.f=1: loss is a value, not a section"),
        ("loss=[", "-S loss=[: '[' is not valid YAML"),
        ("towers.widht=3", "did you mean 'width'?"),
        ("lightfm.epochs=3", "not a parameter of train_dssm"),
    ],
)
def test_only_parameters_of_the_towers_can_be_set(experimented, change, reason):
    assert reason in python(experimented, *COMMAND, "-n", "1", "-S", change, code=1).stderr


def test_a_model_of_another_fold_is_refused(experimented, tmp_path):
    """It was trained on this test set. Parameters that only the towers read may differ."""
    root = Path(shutil.copytree(experimented, tmp_path / "project"))
    set_params(root, {"split.fold": 1, "loss": "bpr"})
    message = python(root, *COMMAND, "-n", "1", "--against", "other", code=1).stderr
    assert message == "--against other: split.fold is 0 there and 1 here; expected the same data and split\n"
