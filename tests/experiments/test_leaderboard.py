"""The leaderboard: each result once, best first, with the parameters that differ; no failed runs."""

import json

from retrieval.errors import Problem
from retrieval.experiments.leaderboard import Row, render, rows, select_models, sort_rows

import pytest
from repositories import python


def state(name, metrics, error=None, **params):
    """A revision in the output of `dvc exp show --json`."""
    data = {
        "metrics": {"metrics/index.json": {"data": {"exact": 1.0}}, "metrics/metrics.json": {"data": metrics}},
        "params": {"params.yaml": {"data": params}},
    }
    return {"rev": name, "name": name, "data": data, "error": error, "experiments": None}


def metrics(value, novelty=1.0):
    return {"map@10": value, "ndcg@10": value / 2, "novelty@10": novelty}


COMMAND = ("-m", "retrieval.experiments.leaderboard")
POPULAR = metrics(0.1)
REVISIONS = [
    state("workspace", {"dssm": metrics(0.2), "popular": POPULAR}, loss="softmax", train={"epochs": 3}),
    state("main", {"dssm": metrics(0.2), "popular": POPULAR}, loss="softmax", train={"epochs": 3})
    | {
        "experiments": [
            {"revs": [state("bpr", {"dssm": metrics(0.3), "popular": POPULAR}, loss="bpr", train={"epochs": 9})]},
            {"revs": [state("broken", {"dssm": metrics(0.9)}, error={"msg": "failed"}, loss="ccl")]},
            {"revs": [{"rev": "queued", "name": "queued", "data": None, "error": None}]},
            {"revs": None, "name": "running"},
        ]
    },
]
TABLE = [
    Row("bpr", "dssm", metrics(0.3), {"loss": "bpr", "train.epochs": 9}),
    Row("main", "dssm", metrics(0.2), {}),
    Row("main", "popular", POPULAR, {}),
]


def test_each_result_is_one_row_with_the_parameters_that_differ_and_failed_runs_have_none():
    assert sort_rows(rows(REVISIONS), None) == TABLE


def test_any_metric_sorts_and_an_unknown_one_is_refused():
    assert sort_rows(TABLE, "novelty@10") == TABLE, "equal values stay in order"
    with pytest.raises(Problem, match="did you mean 'ndcg@10'"):
        sort_rows(TABLE, "ndgc@10")


def test_models_are_selected_and_an_unknown_one_is_refused():
    assert select_models(TABLE, ["popular"]) == TABLE[2:]
    with pytest.raises(Problem, match=r"--model: unknown model 'dsm'; .* did you mean 'dssm'"):
        select_models(TABLE, ["dsm"])


def test_the_best_of_a_column_has_a_star_and_the_table_fits_into_100_columns():
    long = Row(
        "a-name-of-an-experiment-that-is-long", "dssm", metrics(0.25), {f"section.key{i}": 0.5 for i in range(9)}
    )
    text = render([*TABLE, long], "simple")
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("*") == 2, "novelty has no best"
    assert next(line for line in text.splitlines() if "*" in line).split()[:4] == ["bpr", "dssm", "0.3000*", "0.1500*"]
    assert render(TABLE, "github").splitlines()[2].startswith("| bpr ")


def test_the_command_shows_the_experiments_of_dvc(experimented):
    text = python(experimented, *COMMAND).stdout
    assert "loss=bpr" in next(line for line in text.splitlines() if line.startswith("other "))
    assert max(map(len, text.splitlines())) <= 100
    table = json.loads(python(experimented, *COMMAND, "--json", "--model", "dssm").stdout)
    assert {row["experiment"]: row["params"] for row in table} == {"main": {}, "other": {"loss": "bpr"}}
    refusal = python(experimented, *COMMAND, "--sort", "mapp@10", code=1)
    assert refusal.stderr.startswith("--sort: unknown metric 'mapp@10'; expected one of")
