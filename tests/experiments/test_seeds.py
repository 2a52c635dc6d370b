"""The command seeds: the summary by hand, and the command on the results of the real DVC."""

import json
import math

from retrieval.experiments.seeds import summarise

import numpy as np
import pytest
from repositories import metrics, python, run


def test_a_summary_by_hand():
    """The seeds have the means 0.5 and 1.5, so the mean is 1 and the deviation sqrt(0.5)."""
    line = summarise([{"map": np.array([0.0, 1.0])}, {"map": np.array([2.0, 1.0])}])["map"]
    assert line == {"mean": 1.0, "deviation": pytest.approx(math.sqrt(0.5), rel=1e-5)}


def test_one_seed_has_no_deviation():
    assert summarise([{"map": np.array([0.0, 1.0])}]) == {"map": {"mean": 0.5, "deviation": 0.0}}


def test_the_command_trains_the_seeds_of_the_configuration(experimented, tmp_path):
    """The first seed is that of params.yaml: its run alone has the metrics of the pipeline."""
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    python(experimented, "-m", "retrieval.experiments.seeds", "--seeds", "1", "--out", str(one))
    text = python(experimented, "-m", "retrieval.experiments.seeds", "--seeds", "2", "--out", str(two)).stdout
    alone, both = (json.loads(path.read_text(encoding="utf-8")) for path in (one, two))
    own = metrics(experimented)["dssm"]
    assert {name: line["mean"] for name, line in alone["dssm"].items()} == {name: own[name] for name in alone["dssm"]}
    assert both["seeds"] == 2
    assert both["dssm"]["map@10"]["deviation"] > 0
    line = next(line for line in text.splitlines() if line.startswith("map@10 "))
    assert line.split()[1:] == [f"{both['dssm']['map@10'][key]:.4f}" for key in ("mean", "deviation")]
    assert run(experimented, "git", "status", "--porcelain").stdout == ""
