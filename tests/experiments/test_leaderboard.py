"""The leaderboard: best first on the validation, the test beside it, with the parameters that differ."""

import json
from dataclasses import replace

from retrieval.errors import Problem
from retrieval.experiments.leaderboard import render, select_models, sort_rows
from retrieval.experiments.rows import Row

import pytest
from repositories import python

COMMAND = ("-m", "retrieval.experiments.leaderboard")


def metrics(value, novelty=1.0):
    return {"map@10": value, "ndcg@10": value / 2, "novelty@10": novelty}


TABLE = [
    Row("bpr", "dssm", {"loss": "bpr", "train.epochs": 9}, test=metrics(0.3)),
    Row("main", "dssm", test=metrics(0.2)),
    Row("main", "popular", test=metrics(0.1)),
]
CHOSEN = Row("ccl", "dssm", {"loss": "ccl"}, metrics(0.15), metrics(0.18), {"map@10": 0.0123}, (1, 2, 3))
BELOW = Row("gbce", "dssm", {"loss": "gbce"}, {}, metrics(0.17), {}, (1,))


def test_the_validation_sorts_and_rows_without_it_follow_by_the_test():
    assert sort_rows([*TABLE, BELOW, CHOSEN], None) == ([CHOSEN, BELOW, *TABLE], "map@10")


def test_any_metric_sorts_and_an_unknown_one_is_refused():
    assert sort_rows(TABLE, "novelty@10") == (TABLE, "novelty@10"), "equal values stay in order"
    with pytest.raises(Problem, match="did you mean 'ndcg@10'"):
        sort_rows(TABLE, "ndgc@10")


def test_models_are_selected_and_an_unknown_one_is_refused():
    assert select_models(TABLE, ["popular"]) == TABLE[2:]
    with pytest.raises(Problem, match=r"--model: unknown model 'dsm'; .* did you mean 'dssm'"):
        select_models(TABLE, ["dsm"])


def test_the_test_stands_beside_the_validation_with_folds_and_deviation_over_seeds():
    lines = render([CHOSEN, BELOW, *TABLE], "map@10", "simple").splitlines()
    assert lines[0].split() == ["experiment", "model", "validation", "folds", "test", "parameters", "that", "differ"]
    assert lines[2].split() == ["ccl", "dssm", "0.1800", "±", "0.0123*", "1,2,3", "0.1500", "loss=ccl"]
    assert lines[3].split() == ["gbce", "dssm", "0.1700", "1", "loss=gbce"]
    assert lines[4].split()[:3] == ["bpr", "dssm", "0.3000*!"]
    assert lines[-2] == "validation: map@10, mean over the folds, ± over seeds; test: fold 0"


def test_a_choice_that_saw_the_test_is_marked():
    """Parameters that differ were chosen; those of the commit were not, and those with a validation on that."""
    assert [row.saw_test for row in [*TABLE, CHOSEN, BELOW]] == [True, False, False, False, False]
    assert "!: the choice saw the test" in render(TABLE, "map@10", "simple")
    assert "!" not in render([*TABLE[1:], CHOSEN], "map@10", "simple")


def test_the_best_of_a_column_has_a_star_and_the_table_fits_into_100_columns():
    params = {f"section.key{i}": 0.5 for i in range(9)}
    long = Row("a-name-of-an-experiment-that-is-long", "a-model-with-a-name", params, metrics(0.25))
    text = render([*TABLE, long], "map@10", "simple")
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("*") == 2, "novelty has no best"
    assert next(line for line in text.splitlines() if "*" in line).split()[:4] == ["bpr", "dssm", "0.3000*!", "0.1500*"]
    assert render(TABLE, "map@10", "github").splitlines()[2].startswith("| bpr ")
    every = Row("dssm-fold1-abcdefgh", "popular_7d", params, metrics(0.25), metrics(0.1), {"map@10": 0.1}, (1, 2, 3))
    assert max(map(len, render([*TABLE, CHOSEN, every], "map@10", "simple").splitlines())) <= 100


def test_results_on_other_data_are_a_table_of_their_own_with_its_own_best():
    mine = [Row("workspace", model, {}, metrics(value), table=0, data={"data": "folder", "folder": "mine"})
            for model, value in (("ease", 0.04), ("dssm", 0.05))]  # fmt: skip
    other = [replace(row, table=1, data={"data": "kion"}) for row in TABLE]
    text = render(sort_rows([*other, *mine], None)[0], "map@10", "simple")
    first, second = text.split("data=kion:")
    assert first.startswith("data=folder folder=mine:\n\nexperiment ")
    assert [line.split()[:3] for line in first.splitlines() if line.startswith("workspace")] == [
        ["workspace", "dssm", "0.0500*"],
        ["workspace", "ease", "0.0400"],
    ]
    assert "0.3000*!" in second
    assert text.count("!: the choice saw the test") == 1
    assert ":" not in render(mine, "map@10", "simple"), "one table needs no title"


def test_the_command_shows_the_experiments_of_dvc(experimented):
    text = python(experimented, *COMMAND).stdout
    assert "! " in next(line for line in text.splitlines() if line.startswith("other ") and "loss=bpr" in line)
    assert max(map(len, text.splitlines())) <= 100
    table = json.loads(python(experimented, *COMMAND, "--json", "--model", "dssm").stdout)
    assert {row["experiment"]: row["params"] for row in table} == {"main": {}, "other": {"loss": "bpr"}}
    refusal = python(experimented, *COMMAND, "--sort", "mapp@10", code=1)
    assert refusal.stderr.startswith("--sort: unknown metric 'mapp@10'; expected one of")
