"""The command verify: which differences it finds, and what it makes of them."""

import math

from retrieval.experiments.verify import judge, largest_difference, metrics_and_plots, outputs

import pytest
from repositories import python, run


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
def test_the_largest_difference_is_found_with_its_path(old, new, expected):
    worst, where = largest_difference(old, new)
    assert worst == pytest.approx(expected[0])
    assert where == expected[1]


HASHES = {"models/dssm": "a", "metrics/metrics.json": "b", "metrics/cold.json": "c"}
RESULTS = {"metrics/metrics.json": {"dssm": {"map@10": 0.5}}, "metrics/cold.json": {"dssm": {"map@10": 0.5}}}


def changed(name: str, value: float) -> dict:
    return RESULTS | {name: {"dssm": {"map@10": value}}}


@pytest.mark.parametrize(
    ("after", "new", "verdict", "line"),
    [
        (HASHES, RESULTS, "equal", None),
        (HASHES | {"models/dssm": "x"}, RESULTS, "equal metrics and plots", "different bytes      models/dssm"),
        (
            HASHES | {"metrics/metrics.json": "x"},
            changed("metrics/metrics.json", 0.52),
            "equal within the tolerance",
            "within the tolerance metrics/metrics.json: at most 0.04, dssm.map@10 was 0.5 and is 0.52",
        ),
        (
            HASHES | {"metrics/metrics.json": "x"},
            changed("metrics/metrics.json", 0.6),
            "different",
            "different            metrics/metrics.json: dssm.map@10 was 0.5 and is 0.6",
        ),
        (
            HASHES | {"metrics/cold.json": "x"},
            changed("metrics/cold.json", 0.6),
            "equal within the tolerance",
            "not judged           metrics/cold.json: at most 0.2, dssm.map@10 was 0.5 and is 0.6",
        ),
        (
            {name: value for name, value in HASHES.items() if name != "metrics/cold.json"},
            {"metrics/metrics.json": RESULTS["metrics/metrics.json"]},
            "different",
            'different            metrics/cold.json: the file was {"dssm": {"map@10": 0.5}} and is null',
        ),
    ],
)
def test_the_verdict_is_by_the_metrics_over_all_users(after, new, verdict, line):
    assert judge(HASHES, after, RESULTS, new, 0.1) == (verdict, [line] if line else [])


def test_outputs_are_those_of_the_lock(finished):
    hashes = outputs(finished)
    assert {"data/prepared", "models/dssm", "metrics/metrics.json", "plots/leaderboard.png"} <= set(hashes)
    assert (
        {"metrics/metrics.json", "plots/loss.json"}
        <= set(metrics_and_plots(finished))
        <= set(hashes) | {name for name in metrics_and_plots(finished) if name.startswith("plots/scores/")}
    )


@pytest.mark.slow
def test_verify_runs_a_revision_from_scratch(project):
    command = ["-m", "retrieval.experiments.verify"]
    assert "HEAD: equal (" in python(project, *command).stdout
    path = project / "metrics" / "metrics.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"map@10": 0.', '"map@10": 0.9', 1), encoding="utf-8")
    run(project, "git", "commit", "--all", "--message", "A better number")
    done = python(project, *command, code=1)
    assert "different            metrics/metrics.json: dssm.map@10 was 0.9" in done.stdout
