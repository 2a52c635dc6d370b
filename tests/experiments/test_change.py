"""The difference between two revisions, as DVC reports it."""

from retrieval.errors import Problem
from retrieval.experiments.change import Plot, compare, noise, notes, other_data
from retrieval.experiments.verify import outputs

import pytest
from repositories import environment, metrics


@pytest.fixture
def at(monkeypatch):
    """at(root): work in a repository, with the environment of the tests' programs."""

    def enter(root):
        monkeypatch.chdir(root)
        for name, value in environment(root).items():
            monkeypatch.setenv(name, value)

    return enter


def test_a_plot_differs_if_one_of_its_lines_does():
    same, other = ([1, 2], [3, 4]), ([1, 2], [3, 5])
    plot = {"a": {"main": same, "new": same}, "b": {"main": same, "new": same}}
    assert not Plot("p", "", "", "", plot).differs
    assert Plot("p", "", "", "", plot | {"b": {"main": same, "new": other}}).differs


def test_notes_name_models_of_other_machines_or_precisions():
    here, there = ({"precision": "float32", "cpu": cpu, "threads": 2} for cpu in ("A", "B"))
    assert notes({}, {}, "main", "new") == []
    assert notes({"dssm": here}, {"dssm": here}, "main", "new") == []
    (note,) = notes({"dssm": here}, {"dssm": there}, "main", "new")
    assert note.startswith("dssm: trained in float32 on A with 2 threads (main) and in float32 on B with 2")
    (note,) = notes({}, {"dssm": there}, "main", "new")
    assert "in float64, the same on every machine (main) and in float32 on B with 2 threads (new)" in note


def test_noise_is_the_root_of_the_sum_of_squares_of_both_sides():
    old = {"means": {"a": {"map@10": {"low": 0.1, "high": 0.16}}, "b": {"map@10": {"low": 0, "high": 1}}}}
    new = {"means": {"a": {"map@10": {"low": 0.1, "high": 0.18}, "ndcg@10": {"low": 0, "high": 1}}}}
    assert noise(old, new) == {"a": {"map@10": pytest.approx(0.05)}}  # of 0.03 and 0.04
    assert noise({}, new) == {}


def test_other_data_or_another_test_of_the_same_data_are_named():
    assert other_data("a", "a", {"loss": 1, "filter.enabled": 1, "positives.weight": 1}) == []
    assert other_data("a", "b", {"data": 1, "folder": 1, "loss": 1}) == ["data/raw"]
    assert other_data(None, "b", {"split.until": 1, "split.fold": 1}) == ["split.fold", "split.until"]


def test_two_data_sets_do_not_compare_which_the_first_line_says(at, project):
    at(project)
    lock = project / "dvc.lock"
    text = lock.read_text(encoding="utf-8")
    lock.write_text(text.replace(outputs(project)["data/raw"], "0" * 32 + ".dir"), encoding="utf-8")
    change = compare("main", None)
    assert change.notes[0] == "main and workspace do not compare: their data differ (data/raw)."
    assert change.noise == {}
    lock.write_text(text, encoding="utf-8")
    assert compare("main", None).noise


def test_a_branch_and_an_experiment_are_compared(at, experimented):
    at(experimented)
    change = compare("main", "other")
    assert change.params == {"loss": ("softmax", "bpr")}
    old, new = change.metrics["dssm"]["map@10"]
    assert old == metrics(experimented)["dssm"]["map@10"] != new
    assert change.metrics["popular"]["map@10"] == (metrics(experimented)["popular"]["map@10"],) * 2
    assert set(change.noise["dssm"]) == {"map@10", "ndcg@10", "recall@10", "novelty@10"}
    assert 0 < change.noise["dssm"]["map@10"] < 0.2
    loss = next(plot for plot in change.plots if plot.name == "plots/loss.json")
    assert (loss.title, loss.differs) == ("DSSM: training loss", True)
    assert set(loss.lines["loss"]) == {"main", "other"}
    assert set(change.pictures["plots/leaderboard.png"]) == {"main", "other"}
    assert change.pictures["plots/leaderboard.png"]["main"].startswith(b"\x89PNG")


def test_the_work_tree_is_the_default(at, experimented):
    at(experimented)
    change = compare("main", None)
    assert change.head == "workspace"
    assert change.params == {}
    assert not any(plot.differs for plot in change.plots)


def test_an_unknown_revision_is_refused(at, experimented):
    at(experimented)
    with pytest.raises(Problem, match="nowhere"):
        compare("nowhere", None)
